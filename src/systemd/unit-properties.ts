// What is written to the files of a cgroup (v2), as properties of its unit: systemd writes the same
// values, and does not undo ours when it looks at the unit again. Files without a property are only
// ours. Source: systemd.resource-control(5), org.freedesktop.systemd1(5).

export interface CgroupFile {
  file: string;
  value: string;
}
/** Name, D-Bus signature, value. */
export type UnitProperty = readonly [name: string, signature: string, value: unknown];

/** systemd's "infinity". */
const INFINITY = 2n ** 64n - 1n;
const SECOND_US = 1_000_000n;
/** systemd wants whole percents of a CPU. */
const QUOTA_STEP_US = 10_000n;

const amount = (value: string) => (value === "max" ? INFINITY : BigInt(value));

const AMOUNTS: Readonly<Record<string, string>> = {
  "memory.max": "MemoryMax",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
  "cpu.weight": "CPUWeight",
};
const SETS: Readonly<Record<string, string>> = {
  "cpuset.cpus": "AllowedCPUs",
  "cpuset.mems": "AllowedMemoryNodes",
};

export function unitProperties(files: readonly CgroupFile[]): UnitProperty[] {
  return files.flatMap(({ file, value }): UnitProperty[] => {
    const ofAmount = AMOUNTS[file];
    if (ofAmount !== undefined) return [[ofAmount, "t", amount(value)]];
    const ofSet = SETS[file];
    if (ofSet !== undefined) return [[ofSet, "ay", bitsOf(value)]];
    if (file === "cpu.max") return quota(value);
    const weight = file === "io.weight" ? /^default (\d+)$/.exec(value)?.[1] : undefined;
    return weight === undefined ? [] : [["IOWeight", "t", BigInt(weight)]];
  });
}

/** "QUOTA PERIOD", in µs: the quota becomes one of a second, and is rounded up. */
function quota(value: string): UnitProperty[] {
  const [most = "max", period = "100000"] = value.split(" ");
  const periodUs = BigInt(period);
  const perSecond = most === "max" ? INFINITY : roundUp((BigInt(most) * SECOND_US) / periodUs);
  return [
    ["CPUQuotaPerSecUSec", "t", perSecond],
    ["CPUQuotaPeriodUSec", "t", periodUs],
  ];
}

const roundUp = (us: bigint) => ((us + QUOTA_STEP_US - 1n) / QUOTA_STEP_US) * QUOTA_STEP_US;

/** "0-2,8" as a bit mask, the lowest byte first. */
function bitsOf(list: string): Buffer {
  const numbers = list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
  const bytes = Buffer.alloc(Math.floor(Math.max(...numbers) / 8) + 1);
  for (const n of numbers) bytes[n >> 3]! |= 1 << (n & 7);
  return bytes;
}
