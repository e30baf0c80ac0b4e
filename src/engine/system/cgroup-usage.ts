// What a cgroup uses and may use, read from its files on v1 and v2. Pure: contents by name in,
// numbers out. Times are nanoseconds, sizes bytes; null is "no limit" or "nobody counts it".

import type { CgroupUsage, Stall } from "../contract.ts";

/** Content of a file of a controller, "" where there is none. */
export type CgroupFiles = (controller: string, file: string) => string;

/** v1 writes "no limit" as the largest number of whole pages. */
const UNLIMITED_FROM = 2 ** 62;
const MICROSECOND = 1000;

/** Every file that is read; the controller "" is the unified hierarchy. */
export const USAGE_FILES: Readonly<Record<1 | 2, readonly (readonly [string, string])[]>> = {
  1: [
    ["cpu", "cpu.cfs_quota_us"],
    ["cpu", "cpu.cfs_period_us"],
    ["cpu", "cpu.shares"],
    ["cpu", "cpu.stat"],
    ["cpuacct", "cpuacct.usage"],
    ["memory", "memory.usage_in_bytes"],
    ["memory", "memory.limit_in_bytes"],
    ["memory", "memory.stat"],
    ["memory", "memory.oom_control"],
    ["blkio", "blkio.throttle.io_service_bytes_recursive"],
    ["pids", "pids.current"],
    ["pids", "pids.max"],
    ["", "cpu.pressure"],
    ["", "memory.pressure"],
    ["", "io.pressure"],
  ],
  2: [
    ["", "cpu.max"],
    ["", "cpu.weight"],
    ["", "cpu.stat"],
    ["", "memory.current"],
    ["", "memory.max"],
    ["", "memory.stat"],
    ["", "memory.swap.current"],
    ["", "memory.events"],
    ["", "io.stat"],
    ["", "pids.current"],
    ["", "pids.max"],
    ["", "cpu.pressure"],
    ["", "memory.pressure"],
    ["", "io.pressure"],
  ],
};

/** The numbers of one cgroup. */
export function parseUsage(version: 1 | 2, files: CgroupFiles): CgroupUsage {
  const numbers = version === 1 ? usageV1(files) : usageV2(files);
  return {
    ...numbers,
    Pids: {
      Current: count(files("pids", "pids.current")),
      Limit: limit(files("pids", "pids.max")),
    },
    Pressure: {
      Cpu: parsePressure(files("", "cpu.pressure")),
      Memory: parsePressure(files("", "memory.pressure")),
      Io: parsePressure(files("", "io.pressure")),
    },
  };
}

type Numbers = Pick<CgroupUsage, "Cpu" | "Memory" | "Io">;

function usageV1(files: CgroupFiles): Numbers {
  const quota = Number(files("cpu", "cpu.cfs_quota_us").trim() || -1);
  const period = Number(files("cpu", "cpu.cfs_period_us").trim() || 0);
  const memory = keyed(files("memory", "memory.stat"));
  const io = files("blkio", "blkio.throttle.io_service_bytes_recursive");
  const ofIo = (op: string) =>
    [...io.matchAll(new RegExp(`^\\d+:\\d+ ${op} (\\d+)$`, "gm"))].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
  return {
    Cpu: {
      UsageNanoseconds: count(files("cpuacct", "cpuacct.usage")),
      ThrottledNanoseconds: keyed(files("cpu", "cpu.stat"))["throttled_time"] ?? 0,
      LimitCpus: quota > 0 && period > 0 ? quota / period : null,
      Weight: count(files("cpu", "cpu.shares")),
    },
    Memory: {
      UsageBytes: count(files("memory", "memory.usage_in_bytes")),
      LimitBytes: limit(files("memory", "memory.limit_in_bytes")),
      CacheBytes: memory["total_inactive_file"] ?? 0,
      SwapBytes: memory["total_swap"] ?? 0,
      OomKills: keyed(files("memory", "memory.oom_control"))["oom_kill"] ?? 0,
    },
    Io: { ReadBytes: ofIo("Read"), WriteBytes: ofIo("Write") },
  };
}

function usageV2(files: CgroupFiles): Numbers {
  const cpu = keyed(files("cpu", "cpu.stat"));
  const usage = cpu["usage_usec"];
  const [quota = "max", period = "100000"] = files("cpu", "cpu.max").trim().split(/\s+/);
  const io = files("io", "io.stat");
  const ofIo = (name: string) =>
    [...io.matchAll(new RegExp(`\\b${name}=(\\d+)`, "g"))].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
  return {
    Cpu: {
      UsageNanoseconds: usage === undefined ? null : usage * MICROSECOND,
      ThrottledNanoseconds: (cpu["throttled_usec"] ?? 0) * MICROSECOND,
      LimitCpus: Number(quota) > 0 ? Number(quota) / Number(period) : null,
      Weight: count(files("cpu", "cpu.weight")),
    },
    Memory: {
      UsageBytes: count(files("memory", "memory.current")),
      LimitBytes: limit(files("memory", "memory.max")),
      CacheBytes: keyed(files("memory", "memory.stat"))["inactive_file"] ?? 0,
      SwapBytes: count(files("memory", "memory.swap.current")) ?? 0,
      OomKills: keyed(files("memory", "memory.events"))["oom_kill"] ?? 0,
    },
    Io: { ReadBytes: ofIo("rbytes"), WriteBytes: ofIo("wbytes") },
  };
}

/** "some avg10=1.00 avg60=… total=123" and a line for "full". */
export function parsePressure(text: string): Stall | null {
  const line = (kind: string) => {
    const match = new RegExp(`^${kind} avg10=([\\d.]+) .*total=(\\d+)`, "m").exec(text);
    return match && { percent: Number(match[1]), total: Number(match[2]) };
  };
  const some = line("some");
  if (!some) return null;
  const full = line("full");
  return {
    SomePercent: some.percent,
    FullPercent: full?.percent ?? 0,
    SomeMicroseconds: some.total,
    FullMicroseconds: full?.total ?? 0,
  };
}

function keyed(text: string): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [, key, value] of text.matchAll(/^(\S+) (\d+)$/gm)) out[key!] = Number(value);
  return out;
}

function count(text: string): number | null {
  const trimmed = text.trim();
  return /^\d+$/.test(trimmed) ? Number(trimmed) : null;
}

function limit(text: string): number | null {
  const value = count(text);
  return value === null || value >= UNLIMITED_FROM ? null : value;
}
