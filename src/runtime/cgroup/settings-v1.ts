// OCI resources to the files of cgroup v1 controllers. Source: runtime-spec config-linux.md and
// the kernel's Documentation/admin-guide/cgroup-v1.

import { GantryError } from "../../base/index.ts";
import type { OciResources, OciThrottle } from "../../spec/index.ts";

/** One value to write, in order. `file` is in the folder of `controller` (v1) or of the cgroup. */
export interface CgroupSetting {
  controller: string;
  file: string;
  value: string;
}

type Add = (controller: string, file: string, value: string | number | undefined) => void;

/** `previous` orders memory and swap, whose limits may never cross, on an update. */
export function settingsV1(resources: OciResources, previous?: OciResources): CgroupSetting[] {
  const settings: CgroupSetting[] = [];
  const add: Add = (controller, file, value) => {
    if (value !== undefined) settings.push({ controller, file, value: String(value) });
  };
  cpu(resources.cpu, add);
  memory(resources.memory, previous?.memory, add);
  const pids = resources.pids?.limit;
  if (pids !== undefined) add("pids", "pids.max", pids > 0 ? pids : "max");
  blockIO(resources.blockIO, add);
  for (const { pageSize, limit } of resources.hugepageLimits ?? []) {
    add("hugetlb", `hugetlb.${pageSize}.limit_in_bytes`, limit);
  }
  add("net_cls", "net_cls.classid", resources.network?.classID);
  for (const { name, priority } of resources.network?.priorities ?? []) {
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

export function rdmaLine(
  device: string,
  limits: { hcaHandles?: number; hcaObjects?: number },
): string {
  const { hcaHandles, hcaObjects } = limits;
  return `${device} hca_handle=${hcaHandles ?? "max"} hca_object=${hcaObjects ?? "max"}`;
}

function cpu(cpu: OciResources["cpu"], add: Add): void {
  if (!cpu) return;
  add("cpuset", "cpuset.cpus", cpu.cpus || undefined);
  add("cpuset", "cpuset.mems", cpu.mems || undefined);
  add("cpu", "cpu.shares", cpu.shares || undefined);
  // A realtime period longer than the runtime in force is refused: period first.
  add("cpu", "cpu.rt_period_us", cpu.realtimePeriod || undefined);
  add("cpu", "cpu.rt_runtime_us", cpu.realtimeRuntime || undefined);
  add("cpu", "cpu.cfs_period_us", cpu.period || undefined);
  add("cpu", "cpu.cfs_quota_us", cpu.quota || undefined);
  add("cpu", "cpu.cfs_burst_us", cpu.burst);
  add("cpu", "cpu.idle", cpu.idle);
}

function memory(memory: OciResources["memory"], previous: OciResources["memory"], add: Add): void {
  if (!memory) return;
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

function blockIO(io: OciResources["blockIO"], add: Add): void {
  if (!io) return;
  add("blkio", "blkio.weight", io.weight || undefined);
  add("blkio", "blkio.leaf_weight", io.leafWeight || undefined);
  for (const { major, minor, weight, leafWeight } of io.weightDevice ?? []) {
    if (weight) add("blkio", "blkio.weight_device", `${major}:${minor} ${weight}`);
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
