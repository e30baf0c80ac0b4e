// The numbers of `stats`: what the kernel's files say on v1 and v2, in the members of Docker's
// answer. Pure; stats-reader.ts reads the files.

export interface BlkioEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}
export interface NetworkStats {
  rx_bytes: number;
  rx_packets: number;
  rx_errors: number;
  rx_dropped: number;
  tx_bytes: number;
  tx_packets: number;
  tx_errors: number;
  tx_dropped: number;
}
/** What only the CFQ scheduler counted, which Linux has had no more since 5.0. */
const NEVER_COUNTED = {
  io_queue_recursive: [],
  io_service_time_recursive: [],
  io_wait_time_recursive: [],
  io_merged_recursive: [],
  io_time_recursive: [],
  sectors_recursive: [],
};
/** Docker's names; times in nanoseconds, sizes in bytes. */
export interface ContainerStats {
  pids_stats: { current?: number; limit?: number };
  cpu_stats: {
    cpu_usage: {
      total_usage: number;
      percpu_usage?: number[];
      usage_in_kernelmode: number;
      usage_in_usermode: number;
    };
    system_cpu_usage: number;
    online_cpus: number;
    throttling_data: { periods: number; throttled_periods: number; throttled_time: number };
  };
  memory_stats: {
    usage?: number;
    max_usage?: number;
    limit?: number;
    failcnt?: number;
    stats?: Record<string, number>;
  };
  blkio_stats: {
    io_service_bytes_recursive: BlkioEntry[] | null;
    io_serviced_recursive: BlkioEntry[] | null;
  };
  networks?: Record<string, NetworkStats>;
}

/** Content by file; "" where a file is missing. */
export type StatsFiles = (controller: string, file: string) => string;

const TICK_NANOSECONDS = 10_000_000; // USER_HZ is 100 in every ABI
const MICROSECOND = 1000;
/** v1 shows "no limit" as the largest page-aligned number. */
const UNLIMITED_FROM = 2 ** 62;

const number = (text: string): number => Number(text.trim()) || 0;

/** "key value" lines. */
export function parseKeyed(text: string): Record<string, number> {
  const result: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const [key, value] = line.split(" ");
    if (key && value !== undefined) result[key] = Number(value);
  }
  return result;
}

function limitOf(text: string, total: number): number {
  const value = text.trim() === "max" ? Number.POSITIVE_INFINITY : number(text);
  return value >= UNLIMITED_FROM || value === 0 ? total : Math.min(value, total);
}

interface HostFacts {
  procStat: string;
  memoryTotalBytes: number;
  onlineCpus: number;
}

type Parsed = Omit<ContainerStats, "networks">;

export function parseStatsV1(files: StatsFiles, host: HostFacts): Parsed {
  const throttling = parseKeyed(files("cpu", "cpu.stat"));
  const pidsMax = files("pids", "pids.max").trim();
  const memory = files("memory", "memory.usage_in_bytes");
  const perCpu = files("cpuacct", "cpuacct.usage_percpu").trim().split(/\s+/).map(Number);
  const blkio = (name: string) => parseBlkioV1(files("blkio", `blkio.throttle.${name}_recursive`));
  return {
    pids_stats: pidsOf(files("pids", "pids.current"), pidsMax),
    cpu_stats: {
      cpu_usage: {
        total_usage: perCpu.reduce((sum, time) => sum + time, 0),
        percpu_usage: perCpu,
        usage_in_kernelmode: number(files("cpuacct", "cpuacct.usage_sys")),
        usage_in_usermode: number(files("cpuacct", "cpuacct.usage_user")),
      },
      ...systemCpu(host),
      throttling_data: {
        periods: throttling["nr_periods"] ?? 0,
        throttled_periods: throttling["nr_throttled"] ?? 0,
        throttled_time: throttling["throttled_time"] ?? 0,
      },
    },
    memory_stats:
      memory === ""
        ? {}
        : {
            usage: number(memory),
            max_usage: number(files("memory", "memory.max_usage_in_bytes")),
            stats: parseKeyed(files("memory", "memory.stat")),
            failcnt: number(files("memory", "memory.failcnt")),
            limit: limitOf(files("memory", "memory.limit_in_bytes"), host.memoryTotalBytes),
          },
    blkio_stats: {
      io_service_bytes_recursive: blkio("io_service_bytes"),
      io_serviced_recursive: blkio("io_serviced"),
      ...NEVER_COUNTED,
    },
  };
}

export function parseStatsV2(files: StatsFiles, host: HostFacts): Parsed {
  const cpu = parseKeyed(files("cpu", "cpu.stat"));
  const micro = (name: string) => (cpu[name] ?? 0) * MICROSECOND;
  const memory = files("memory", "memory.current");
  const io = files("io", "io.stat");
  return {
    pids_stats: pidsOf(files("pids", "pids.current"), files("pids", "pids.max").trim()),
    cpu_stats: {
      cpu_usage: {
        total_usage: micro("usage_usec"),
        usage_in_kernelmode: micro("system_usec"),
        usage_in_usermode: micro("user_usec"),
      },
      ...systemCpu(host),
      throttling_data: {
        periods: cpu["nr_periods"] ?? 0,
        throttled_periods: cpu["nr_throttled"] ?? 0,
        throttled_time: micro("throttled_usec"),
      },
    },
    memory_stats:
      memory === ""
        ? {}
        : {
            usage: number(memory),
            stats: parseKeyed(files("memory", "memory.stat")),
            limit: limitOf(files("memory", "memory.max"), host.memoryTotalBytes),
          },
    blkio_stats: {
      io_service_bytes_recursive: parseIoStat(io, { rbytes: "read", wbytes: "write" }),
      io_serviced_recursive: parseIoStat(io, { rios: "read", wios: "write" }),
    },
  };
}

function pidsOf(current: string, max: string): ContainerStats["pids_stats"] {
  if (current === "") return {};
  // Docker shows "no limit" as the largest number.
  return { current: number(current), ...(max !== "" && max !== "max" && { limit: Number(max) }) };
}

/** The host's CPU time, over all CPUs: the measure against which a share is taken. */
function systemCpu({ procStat, onlineCpus }: HostFacts) {
  const fields = /^cpu\s+(.*)$/m.exec(procStat)?.[1]?.split(/\s+/).slice(0, 7) ?? [];
  const ticks = fields.reduce((sum, field) => sum + Number(field), 0);
  return { system_cpu_usage: ticks * TICK_NANOSECONDS, online_cpus: onlineCpus };
}

/** "8:0 Read 4096" lines and a "Total 4096". Docker's lists are never null on v1. */
function parseBlkioV1(text: string): BlkioEntry[] {
  const entries = [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(
    ([, major, minor, op, value]) => ({
      major: Number(major),
      minor: Number(minor),
      op: op!,
      value: Number(value),
    }),
  );
  return entries;
}

/** "8:0 rbytes=4096 wbytes=0 rios=1 …" lines. */
function parseIoStat(text: string, names: Readonly<Record<string, string>>): BlkioEntry[] | null {
  const entries: BlkioEntry[] = [];
  for (const line of text.split("\n")) {
    const [device, ...pairs] = line.split(" ");
    const match = /^(\d+):(\d+)$/.exec(device ?? "");
    if (!match) continue;
    for (const pair of pairs) {
      const [name = "", value] = pair.split("=");
      const op = names[name];
      if (op === undefined) continue;
      const [major, minor] = [Number(match[1]), Number(match[2])];
      entries.push({ major, minor, op, value: Number(value) });
    }
  }
  return entries.length > 0 ? entries : null;
}

/** /proc/<pid>/net/dev, without the loopback interface. */
export function parseNetDev(text: string): Record<string, NetworkStats> {
  const networks: Record<string, NetworkStats> = {};
  for (const line of text.split("\n")) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (!match || match[1] === "lo") continue;
    const n = match[2]!.trim().split(/\s+/).map(Number);
    networks[match[1]!] = {
      rx_bytes: n[0] ?? 0,
      rx_packets: n[1] ?? 0,
      rx_errors: n[2] ?? 0,
      rx_dropped: n[3] ?? 0,
      tx_bytes: n[8] ?? 0,
      tx_packets: n[9] ?? 0,
      tx_errors: n[10] ?? 0,
      tx_dropped: n[11] ?? 0,
    };
  }
  return networks;
}
