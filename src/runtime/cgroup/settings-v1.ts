// OCI resources to the files of cgroup v1 controllers. Source: runtime-spec config-linux.md and
// the kernel's Documentation/admin-guide/cgroup-v1.

import { GantryError } from "../../base/index.ts";
import type { OciResources, OciThrottle } from "../../spec/index.ts";

/** One value to write, in order. `file` is in the folder of `controller` (v1) or of the cgroup. */
export interface CgroupSetting {
  controller: string;
  file: string;
  value: string;
  /** Instead, where the kernel has no such file. */
  or?: { file: string; value: string };
  /** Left out where the kernel has no such file: another setting says the same. */
  optional?: true;
}

type More = Pick<CgroupSetting, "or" | "optional">;
export type AddSetting = (
  controller: string,
  file: string,
  value: string | number | undefined,
  more?: More,
) => void;

/** A list of settings and what adds one to it, unless it has no value. */
export function settingList(): { settings: CgroupSetting[]; add: AddSetting } {
  const settings: CgroupSetting[] = [];
  const add: AddSetting = (controller, file, value, more = {}) => {
    if (value !== undefined) settings.push({ controller, file, value: String(value), ...more });
  };
  return { settings, add };
}

/** `previous` orders limits that may never cross on an update: memory and swap, quota and burst. */
export function settingsV1(resources: OciResources, previous?: OciResources): CgroupSetting[] {
  const { settings, add } = settingList();
  cpu(resources.cpu, previous?.cpu, add);
  memory(resources.memory, previous?.memory, add);
  const pids = resources.pids?.limit;
  if (pids !== undefined) add("pids", "pids.max", pids > 0 ? pids : "max");
  blockIO(resources.blockIO, add);
  hugepages(resources.hugepageLimits, add, "limit_in_bytes");
  add("net_cls", "net_cls.classid", resources.network?.classID);
  for (const { name, priority } of resources.network?.priorities ?? []) {
    checkWord(name, "network interface");
    add("net_prio", "net_prio.ifpriomap", `${name} ${priority}`);
  }
  for (const [device, limits] of Object.entries(resources.rdma ?? {})) {
    add("rdma", "rdma.max", rdmaLine(device, limits));
  }
  if (Object.keys(resources.unified ?? {}).length > 0) {
    throw new GantryError("invalid", "unified resources are for cgroup v2, and this host has v1");
  }
  return settings;
}

/** Reservations where the kernel counts them, and what is faulted in: `suffix` is the version's. */
export function hugepages(
  limits: OciResources["hugepageLimits"],
  add: AddSetting,
  suffix: "limit_in_bytes" | "max",
): void {
  for (const { pageSize, limit } of limits ?? []) {
    if (!/^[1-9]\d*[KMG]B$/.test(pageSize)) {
      throw new GantryError("invalid", `invalid hugepage size ${JSON.stringify(pageSize)}`);
    }
    add("hugetlb", `hugetlb.${pageSize}.rsvd.${suffix}`, limit, { optional: true });
    add("hugetlb", `hugetlb.${pageSize}.${suffix}`, limit);
  }
}

export function rdmaLine(
  device: string,
  limits: { hcaHandles?: number; hcaObjects?: number },
): string {
  const { hcaHandles, hcaObjects } = limits;
  checkWord(device, "rdma device");
  if (hcaHandles === undefined && hcaObjects === undefined) {
    throw new GantryError("invalid", `rdma: ${device} has neither hcaHandles nor hcaObjects`);
  }
  return `${device} hca_handle=${hcaHandles ?? "max"} hca_object=${hcaObjects ?? "max"}`;
}

/** A name that stands in a line with others. */
function checkWord(name: string, what: string): void {
  if (/^[^\s/]+$/.test(name)) return;
  throw new GantryError("invalid", `invalid ${what} name ${JSON.stringify(name)}`);
}

function cpu(cpu: OciResources["cpu"], previous: OciResources["cpu"], add: AddSetting): void {
  if (!cpu) return;
  const { quota, burst, period } = cpu;
  add("cpuset", "cpuset.cpus", cpu.cpus || undefined);
  add("cpuset", "cpuset.mems", cpu.mems || undefined);
  add("cpu", "cpu.idle", cpu.idle);
  // A cgroup that is idle refuses shares.
  if (!cpu.idle) add("cpu", "cpu.shares", cpu.shares || undefined);
  // A realtime period longer than the runtime in force is refused: period first.
  add("cpu", "cpu.rt_period_us", cpu.realtimePeriod || undefined);
  add("cpu", "cpu.rt_runtime_us", cpu.realtimeRuntime || undefined);
  // No burst may be above the quota, nor the share of a parent be passed for a moment.
  const lowered = (quota ?? 0) > 0 && (previous?.quota ?? 0) > quota!;
  const setBurst = () => add("cpu", "cpu.cfs_burst_us", burst);
  const setPeriod = () => add("cpu", "cpu.cfs_period_us", period || undefined);
  if (lowered) setBurst();
  else setPeriod();
  add("cpu", "cpu.cfs_quota_us", quota || undefined);
  if (lowered) setPeriod();
  else setBurst();
}

function memory(
  memory: OciResources["memory"],
  previous: OciResources["memory"],
  add: AddSetting,
): void {
  if (!memory) return;
  // All kernels since 5.11 count beneath, and older ones must be told so.
  if (memory.useHierarchy !== undefined) {
    add("memory", "memory.use_hierarchy", memory.useHierarchy ? "1" : "0");
  }
  const { limit, swap } = memory;
  const unlimited = (value: number | undefined) => value === undefined || value <= 0;
  // limit ≤ memory+swap always holds: raising the first means raising the second before it.
  const before = previous?.swap;
  const swapFirst =
    previous !== undefined &&
    !unlimited(before) &&
    swap !== undefined &&
    (unlimited(limit) || limit! > before!);
  const setLimit = () => add("memory", "memory.limit_in_bytes", limit || undefined);
  const setSwap = () => add("memory", "memory.memsw.limit_in_bytes", swap || undefined);
  if (swapFirst) setSwap();
  setLimit();
  if (!swapFirst) setSwap();
  add("memory", "memory.soft_limit_in_bytes", memory.reservation || undefined);
  add("memory", "memory.kmem.tcp.limit_in_bytes", memory.kernelTCP || undefined);
  if (memory.disableOOMKiller) add("memory", "memory.oom_control", "1");
  add("memory", "memory.swappiness", memory.swappiness);
}

function blockIO(io: OciResources["blockIO"], add: AddSetting): void {
  if (!io) return;
  // Weights are of one scheduler, CFQ before Linux 5.0 and BFQ since.
  const weigh = (file: string, value: string | number | undefined) =>
    add("blkio", `blkio.${file}`, value, {
      or: { file: `blkio.bfq.${file}`, value: String(value) },
    });
  weigh("weight", io.weight || undefined);
  add("blkio", "blkio.leaf_weight", io.leafWeight || undefined);
  for (const { major, minor, weight, leafWeight } of io.weightDevice ?? []) {
    if (weight) weigh("weight_device", `${major}:${minor} ${weight}`);
    if (leafWeight) add("blkio", "blkio.leaf_weight_device", `${major}:${minor} ${leafWeight}`);
  }
  const throttle = (file: string, devices: OciThrottle[] | undefined) => {
    for (const { major, minor, rate } of devices ?? []) {
      add("blkio", `blkio.throttle.${file}_device`, `${major}:${minor} ${rate}`);
    }
  };
  throttle("read_bps", io.throttleReadBpsDevice);
  throttle("write_bps", io.throttleWriteBpsDevice);
  throttle("read_iops", io.throttleReadIOPSDevice);
  throttle("write_iops", io.throttleWriteIOPSDevice);
}
