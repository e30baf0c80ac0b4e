// The numbers of a container as runc's events have them, from the files of its cgroups. Counters
// may be larger than a JavaScript number holds exactly: they stay text and are written as they are.

type Paths = Readonly<Record<string, string>>;
type Read = (path: string) => Promise<string>;

/** A number of JSON, digit by digit. */
export type Digits = { rawJSON: string } | number;
type Entry = Record<string, Digits | string>;

const raw = (JSON as unknown as { rawJSON(text: string): Digits }).rawJSON;
const digits = (text: string | undefined): Digits =>
  text !== undefined && /^-?\d+$/.test(text.trim()) ? raw(text.trim()) : 0;
const isZero = (value: Digits | undefined): boolean =>
  value === undefined || value === 0 || (typeof value === "object" && value.rawJSON === "0");

/** Go leaves out what is zero where its types say so. */
function some<Value extends Digits | string>(fields: Record<string, Value | undefined>) {
  const kept = Object.entries(fields).filter(([, value]) =>
    typeof value === "string" ? value !== "" : !isZero(value as Digits | undefined),
  );
  return Object.fromEntries(kept) as Record<string, Value>;
}

const UINT64_MAX = "18446744073709551615";
const NS_PER_TICK = 10_000_000n; // USER_HZ is 100
const NS_PER_US = 1000n;

/** "key value" lines. */
export function keyed(text: string): Map<string, string> {
  const pairs = text.split("\n").map((line) => line.trim().split(/\s+/));
  return new Map(pairs.flatMap(([key, value]) => (key && value ? [[key, value] as const] : [])));
}

function times(text: string | undefined, factor: bigint): Digits {
  return /^\d+$/.test(text ?? "") ? raw(String(BigInt(text!) * factor)) : 0;
}

/** "0-2,4" is [0, 1, 2, 4]. */
export function cpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter(Boolean)
    .flatMap((part) => {
      const [from = 0, to = from] = part.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
}

export async function statsOf(paths: Paths, read: Read) {
  const isV1 = Object.keys(paths).some((controller) => controller !== "");
  const file = async (controller: string, name: string): Promise<string> => {
    const folder = isV1 ? paths[controller] : paths[""];
    return folder === undefined ? "" : await read(`${folder}/${name}`);
  };
  const [cpu, cpuset, memory, blkio, hugetlb] = isV1
    ? await Promise.all([cpuV1(file), cpusetV1(file), memoryV1(file), blkioV1(file), {}])
    : await Promise.all([cpuV2(file), cpusetV2(file), memoryV2(file), blkioV2(file), {}]);
  const limit = (await file("pids", "pids.max")).trim();
  const pids = some({
    current: digits(await file("pids", "pids.current")),
    limit: limit === "max" ? 0 : digits(limit),
  });
  return {
    ...{ cpu, cpuset, memory, pids, blkio, hugetlb: { ...hugetlb, ...(await pages(paths, read)) } },
    ...{ intel_rdt: {}, network_interfaces: null },
  };
}

type File = (controller: string, name: string) => Promise<string>;

async function cpuV1(file: File) {
  const throttling = keyed(await file("cpu", "cpu.stat"));
  const ticks = keyed(await file("cpuacct", "cpuacct.stat"));
  const each = (await file("cpuacct", "cpuacct.usage_percpu")).trim().split(/\s+/).filter(Boolean);
  // "cpu user system" and a line for each CPU.
  const all = (await file("cpuacct", "cpuacct.usage_all")).trim().split("\n").slice(1);
  const column = (index: number) => all.map((line) => digits(line.split(" ")[index]));
  return {
    usage: {
      ...some({ total: digits(await file("cpuacct", "cpuacct.usage")) }),
      ...(each.length > 0 && { percpu: each.map(digits) }),
      ...(all.length > 0 && { percpu_kernel: column(2), percpu_user: column(1) }),
      kernel: times(ticks.get("system"), NS_PER_TICK),
      user: times(ticks.get("user"), NS_PER_TICK),
    },
    throttling: some({
      periods: digits(throttling.get("nr_periods")),
      throttledPeriods: digits(throttling.get("nr_throttled")),
      throttledTime: digits(throttling.get("throttled_time")),
    }),
  };
}

async function cpuV2(file: File) {
  const stat = keyed(await file("cpu", "cpu.stat"));
  const psi = await pressure(file, "cpu.pressure");
  return {
    usage: {
      ...some({ total: times(stat.get("usage_usec"), NS_PER_US) }),
      kernel: times(stat.get("system_usec"), NS_PER_US),
      user: times(stat.get("user_usec"), NS_PER_US),
    },
    throttling: some({
      periods: digits(stat.get("nr_periods")),
      throttledPeriods: digits(stat.get("nr_throttled")),
      throttledTime: times(stat.get("throttled_usec"), NS_PER_US),
    }),
    ...(psi && { psi }),
  };
}

async function pressure(file: File, name: string) {
  const text = await file("", name);
  if (text === "") return undefined;
  const result: Record<string, Record<string, Digits>> = {};
  for (const line of text.trim().split("\n")) {
    const [kind = "", ...pairs] = line.split(" ");
    const fields = pairs.map((pair) => pair.split("=") as [string, string]);
    result[kind] = Object.fromEntries(fields.map(([key, value]) => [key, Number(value)]));
  }
  return result;
}

const CPUSET_V1 = [
  "cpu_exclusive",
  "mem_hardwall",
  "mem_exclusive",
  "memory_migrate",
  "memory_spread_page",
  "memory_spread_slab",
  "memory_pressure",
  "sched_load_balance",
  "sched_relax_domain_level",
];

async function cpusetV1(file: File) {
  const flags = await Promise.all(
    CPUSET_V1.map(async (name) => [name, digits(await file("cpuset", `cpuset.${name}`))] as const),
  );
  const [cpus, mems] = [await file("cpuset", "cpuset.cpus"), await file("cpuset", "cpuset.mems")];
  return {
    ...(cpus.trim() && { cpus: cpuList(cpus) }),
    ...(mems.trim() && { mems: cpuList(mems) }),
    ...Object.fromEntries(flags),
  };
}

async function cpusetV2(file: File) {
  const own = async (name: string) => (await file("cpuset", name)).trim();
  const cpus = (await own("cpuset.cpus")) || (await own("cpuset.cpus.effective"));
  const mems = (await own("cpuset.mems")) || (await own("cpuset.mems.effective"));
  const zero = Object.fromEntries(CPUSET_V1.map((name) => [name, 0]));
  return { ...(cpus && { cpus: cpuList(cpus) }), ...(mems && { mems: cpuList(mems) }), ...zero };
}

async function memoryV1(file: File) {
  const area = async (name: string) => {
    const one = async (field: string) => digits(await file("memory", `memory.${name}${field}`));
    return {
      limit: await one("limit_in_bytes"),
      ...some({ usage: await one("usage_in_bytes"), max: await one("max_usage_in_bytes") }),
      failcnt: await one("failcnt"),
    };
  };
  const stat = keyed(await file("memory", "memory.stat"));
  return {
    ...some({ cache: digits(stat.get("cache")) }),
    usage: await area(""),
    swap: await area("memsw."),
    kernel: await area("kmem."),
    kernelTCP: await area("kmem.tcp."),
    ...rawOf(stat),
  };
}

const rawOf = (stat: ReadonlyMap<string, string>) =>
  stat.size > 0 && {
    raw: Object.fromEntries([...stat].sort().map(([key, value]) => [key, digits(value)])),
  };

async function memoryV2(file: File) {
  const text = async (name: string) => (await file("memory", name)).trim();
  const limit = (value: string) => digits(value === "max" ? UINT64_MAX : value);
  const stat = keyed(await text("memory.stat"));
  const [usage, swap] = [await text("memory.current"), await text("memory.swap.current")];
  const [max, swapMax] = [await text("memory.max"), await text("memory.swap.max")];
  const sum = (a: string, b: string) =>
    a === "max" || b === "max" ? UINT64_MAX : String(BigInt(a || 0) + BigInt(b || 0));
  const psi = await pressure(file, "memory.pressure");
  const none = { limit: 0, failcnt: 0 };
  return {
    ...some({ cache: digits(stat.get("file")) }),
    usage: {
      limit: limit(max),
      ...some({ usage: digits(usage), max: digits(await text("memory.peak")) }),
      failcnt: 0,
    },
    swap: {
      limit: digits(sum(max, swapMax)),
      ...some({ usage: digits(sum(usage, swap)) }),
      failcnt: 0,
    },
    ...{ kernel: none, kernelTCP: none },
    ...rawOf(stat),
    ...(psi && { psi }),
  };
}

const BLKIO_V1 = {
  ioServiceBytesRecursive: ["io_service_bytes"],
  ioServicedRecursive: ["io_serviced"],
  ioQueueRecursive: ["io_queued"],
  ioServiceTimeRecursive: ["io_service_time"],
  ioWaitTimeRecursive: ["io_wait_time"],
  ioMergedRecursive: ["io_merged"],
  ioTimeRecursive: ["time"],
  sectorsRecursive: ["sectors"],
} as const;

async function blkioV1(file: File) {
  const result: Record<string, Entry[]> = {};
  for (const [name, [source]] of Object.entries(BLKIO_V1)) {
    const texts = [
      await file("blkio", `blkio.bfq.${source}_recursive`),
      await file("blkio", `blkio.${source}_recursive`),
      await file("blkio", `blkio.throttle.${source}_recursive`),
    ];
    const entries = texts.map(entriesV1).find((found) => found.length > 0);
    if (entries) result[name] = entries;
  }
  return result;
}

/** "8:0 Read 4096" lines, or "8:0 4096". */
function entriesV1(text: string): Entry[] {
  return [...text.matchAll(/^(\d+):(\d+)(?: (\w+))? (\d+)$/gm)].map(([, major, minor, op, value]) =>
    some<Digits | string>({
      major: digits(major),
      minor: digits(minor),
      op: op ?? "",
      value: digits(value),
    }),
  );
}

const BLKIO_V2: Readonly<Record<string, [list: string, op: string]>> = {
  rbytes: ["ioServiceBytesRecursive", "Read"],
  wbytes: ["ioServiceBytesRecursive", "Write"],
  rios: ["ioServicedRecursive", "Read"],
  wios: ["ioServicedRecursive", "Write"],
};

async function blkioV2(file: File) {
  const result: Record<string, unknown> = {};
  for (const line of (await file("io", "io.stat")).split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":");
    for (const pair of pairs) {
      const [key = "", value] = pair.split("=");
      const [list, op] = BLKIO_V2[key] ?? [];
      if (list === undefined) continue;
      const fields = { major: digits(major), minor: digits(minor), op: op!, value: digits(value) };
      result[list] = [...((result[list] as Entry[]) ?? []), some<Digits | string>(fields)];
    }
  }
  const psi = await pressure(file, "io.pressure");
  return { ...result, ...(psi && { psi }) };
}

const PAGES = ["64KB", "1MB", "2MB", "16MB", "32MB", "512MB", "1GB", "16GB"];

/** Of the sizes that this host has. */
async function pages(paths: Paths, read: Read) {
  const result: Record<string, unknown> = {};
  const [v1, v2] = [paths["hugetlb"], paths[""]];
  const folder = v1 ?? v2;
  if (folder === undefined) return result;
  for (const size of PAGES) {
    const one = async (name: string) => await read(`${folder}/hugetlb.${size}.${name}`);
    const usage = await one(v1 ? "usage_in_bytes" : "current");
    if (usage === "") continue;
    const failures = v1 ? await one("failcnt") : keyed(await one("events")).get("max");
    const max = v1 ? digits(await one("max_usage_in_bytes")) : 0;
    result[size] = { ...some({ usage: digits(usage), max }), failcnt: digits(failures) };
  }
  return result;
}
