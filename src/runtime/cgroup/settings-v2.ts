// OCI resources to the files of the unified hierarchy. What v2 does not have (swappiness, disabling
// the OOM killer, realtime slices, classes of network packets) is refused.
// Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.

import { GantryError } from "../../base/index.ts";
import type { OciResources } from "../../spec/index.ts";
import {
  type AddSetting,
  type CgroupSetting,
  hugepages,
  rdmaLine,
  settingList,
} from "./settings-v1.ts";

const PERIOD_DEFAULT_US = 100_000;

export function settingsV2(resources: OciResources, previous?: OciResources): CgroupSetting[] {
  const { settings, add } = settingList();
  refuseV1Only(resources);
  cpu(resources.cpu, previous?.cpu, add);
  memory(resources.memory, add);
  const pids = resources.pids?.limit;
  if (pids !== undefined) add("pids", "pids.max", pids > 0 ? pids : "max");
  blockIO(resources.blockIO, add);
  hugepages(resources.hugepageLimits, add, "max");
  for (const [device, limits] of Object.entries(resources.rdma ?? {})) {
    add("rdma", "rdma.max", rdmaLine(device, limits));
  }
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    if (!/^[a-z]+(\.[A-Za-z0-9_]+)+$/.test(file)) {
      throw new GantryError("invalid", `invalid unified resource ${JSON.stringify(file)}`);
    }
    add(file.split(".")[0]!, file, value);
  }
  return settings;
}

function refuseV1Only({ memory, cpu, blockIO, network }: OciResources): void {
  const leafWeights = blockIO?.weightDevice?.some(({ leafWeight }) => leafWeight);
  const asked: [string, unknown][] = [
    ["memory.kernelTCP", (memory?.kernelTCP ?? 0) > 0],
    ["memory.swappiness", memory?.swappiness !== undefined],
    ["memory.disableOOMKiller", memory?.disableOOMKiller],
    ["memory.useHierarchy", memory?.useHierarchy === false],
    ["cpu.realtimeRuntime", cpu?.realtimeRuntime],
    ["cpu.realtimePeriod", cpu?.realtimePeriod],
    ["blockIO.leafWeight", blockIO?.leafWeight || leafWeights],
    ["network", network && (network.classID !== undefined || network.priorities?.length)],
  ];
  const found = asked.find(([, is]) => is);
  if (!found) return;
  throw new GantryError(
    "invalid",
    `linux.resources.${found[0]} is for cgroup v1, this host has v2`,
  );
}

/** cpu.shares (2–262144, default 1024) to cpu.weight (1–10000, default 100): the curve through
 * all three points that runc 1.3.2 and systemd use, so that a default stays a default. */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/** blkio.weight (10–1000) to io.weight (1–10000). */
export function ioWeight(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}

function cpu(cpu: OciResources["cpu"], previous: OciResources["cpu"], add: AddSetting): void {
  if (!cpu) return;
  add("cpuset", "cpuset.cpus", cpu.cpus || undefined);
  add("cpuset", "cpuset.mems", cpu.mems || undefined);
  add("cpu", "cpu.idle", cpu.idle);
  // A cgroup that is idle refuses a weight.
  if (cpu.shares && !cpu.idle) add("cpu", "cpu.weight", weightOfShares(cpu.shares));
  // No burst may be above the quota.
  const lowered = (cpu.quota ?? 0) > 0 && (previous?.quota ?? 0) > cpu.quota!;
  if (lowered) add("cpu", "cpu.max.burst", cpu.burst);
  if (cpu.quota || cpu.period) {
    const quota = cpu.quota && cpu.quota > 0 ? cpu.quota : "max";
    add("cpu", "cpu.max", `${quota} ${cpu.period || PERIOD_DEFAULT_US}`);
  }
  if (!lowered) add("cpu", "cpu.max.burst", cpu.burst);
}

function memory(memory: OciResources["memory"], add: AddSetting): void {
  if (!memory) return;
  const { limit, swap, reservation } = memory;
  const line = (value: number) => (value < 0 ? "max" : String(value));
  if (swap !== undefined && swap !== 0) {
    if (swap > 0 && (limit === undefined || limit <= 0)) {
      throw new GantryError("invalid", "unable to set swap limit without memory limit");
    }
    if (swap > 0 && swap < limit!) {
      throw new GantryError("invalid", "memory+swap limit should be >= memory limit");
    }
    add("memory", "memory.swap.max", swap < 0 ? "max" : swap - limit!);
  } else if (limit === -1) add("memory", "memory.swap.max", "max");
  if (limit) add("memory", "memory.max", line(limit));
  if (reservation) add("memory", "memory.low", line(reservation));
}

function blockIO(io: OciResources["blockIO"], add: AddSetting): void {
  if (!io) return;
  // Two schedulers have weights: iocost's file is there when the kernel has it, BFQ's beside it.
  const weigh = (device: string, weight: number) => {
    const bfq = { file: "io.bfq.weight", value: `${device} ${weight}` };
    add("io", "io.weight", `${device} ${ioWeight(weight)}`, { or: bfq });
    add("io", bfq.file, bfq.value, { optional: true });
  };
  if (io.weight) weigh("default", io.weight);
  for (const { major, minor, weight } of io.weightDevice ?? []) {
    if (weight) weigh(`${major}:${minor}`, weight);
  }
  const limits: [string, { major: number; minor: number; rate: number }[] | undefined][] = [
    ["rbps", io.throttleReadBpsDevice],
    ["wbps", io.throttleWriteBpsDevice],
    ["riops", io.throttleReadIOPSDevice],
    ["wiops", io.throttleWriteIOPSDevice],
  ];
  for (const [key, devices] of limits) {
    for (const { major, minor, rate } of devices ?? []) {
      add("io", "io.max", `${major}:${minor} ${key}=${rate === 0 ? "max" : rate}`);
    }
  }
}
