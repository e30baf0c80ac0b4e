// The rows of `cgtop`: rates from two samples, use of limits, pressure. Pure.

import { humanBinarySize, humanSize } from "../../../base/index.ts";
import type { Style } from "../../format/style.ts";
import type { RowType } from "../../format/table.ts";
import { type Cgroups, type Group, groupName, usedBytes } from "./fetch.ts";

export const SORT_KEYS = ["cpu", "memory", "io", "pids", "pressure", "name"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export function isSortKey(text: string): text is SortKey {
  return SORT_KEYS.some((key) => key === text);
}

export interface TopLine {
  group: Group;
  name: string;
  /** Of one CPU; null where it is not counted, or for want of a first sample. */
  cpuPercent: number | null;
  /** Share of its own limit, where it has one. */
  cpuOfLimit: number | null;
  throttledPercent: number;
  memoryBytes: number | null;
  memoryOfLimit: number | null;
  readPerSecond: number;
  writePerSecond: number;
  pressure: number;
}

/** From this share of a limit on, and from this pressure on, a number is shown in colour. */
const HIGH = 90;
const STRAINED = 10;

export const ROOM_TABLE =
  "table {{.Name}}\\t{{.CPUPerc}}\\t{{.CPULimit}}\\t{{.MemUsage}}\\t{{.MemPerc}}" +
  "\\t{{.ReadRate}}\\t{{.WriteRate}}\\t{{.PIDs}}\\t{{.CPUPressure}}\\t{{.MemPressure}}" +
  "\\t{{.IOPressure}}";

export function topLines(
  before: Cgroups,
  now: Cgroups,
  { select, sort }: { select: (answer: Cgroups) => Group[]; sort: SortKey },
): TopLine[] {
  const earlier = new Map(before.Groups.map((group) => [group.Path, group]));
  const seconds = (now.Time - before.Time) / 1e9;
  const names = new Map(
    now.Groups.flatMap(({ Path, Container }) => (Container ? [[Path, Container.Name]] : [])),
  );
  const lines = select(now).map((group) => {
    const name = nestedName(group, names);
    return lineOf(group, name, earlier.get(group.Path), seconds, now.Host.MemoryBytes);
  });
  return lines.sort((a, b) => weight(b, sort) - weight(a, sort) || (a.name < b.name ? -1 : 1));
}

/** "web/worker" for a group that container web has made. */
function nestedName(group: Group, names: ReadonlyMap<string, string>): string {
  if (group.Container) return group.Container.Name;
  for (const [path, name] of names) {
    if (group.Path.startsWith(`${path}/`)) return name + group.Path.slice(path.length);
  }
  return groupName(group);
}

function lineOf(
  group: Group,
  name: string,
  before: Group | undefined,
  seconds: number,
  hostBytes: number,
): TopLine {
  const rate = (of: (group: Group) => number | null): number | null => {
    const then = before && of(before);
    const value = of(group);
    if (value === null || then === null || then === undefined || seconds <= 0) return null;
    return Math.max(0, value - then) / seconds;
  };
  const used = rate(({ Cpu }) => Cpu.UsageNanoseconds);
  const throttled = rate(({ Cpu }) => Cpu.ThrottledNanoseconds) ?? 0;
  const cpuPercent = used === null ? null : used / 1e7;
  const memoryBytes = usedBytes(group.Memory);
  const limit = group.Memory.LimitBytes ?? hostBytes;
  const { Cpu, Memory, Io } = group.Pressure;
  return {
    group,
    name,
    cpuPercent,
    cpuOfLimit:
      cpuPercent === null || group.Cpu.LimitCpus === null ? null : cpuPercent / group.Cpu.LimitCpus,
    throttledPercent: throttled / 1e7,
    memoryBytes,
    memoryOfLimit: memoryBytes === null || limit <= 0 ? null : (memoryBytes / limit) * 100,
    readPerSecond: rate(({ Io: { ReadBytes } }) => ReadBytes) ?? 0,
    writePerSecond: rate(({ Io: { WriteBytes } }) => WriteBytes) ?? 0,
    pressure: Math.max(...[Cpu, Memory, Io].map((stall) => stall?.SomePercent ?? 0)),
  };
}

function weight(line: TopLine, sort: SortKey): number {
  if (sort === "cpu") return line.cpuPercent ?? 0;
  if (sort === "memory") return line.memoryBytes ?? 0;
  if (sort === "io") return line.readPerSecond + line.writePerSecond;
  if (sort === "pids") return line.group.Pids.Current ?? 0;
  return sort === "pressure" ? line.pressure : 0;
}

export function topRow(truncate: boolean): RowType<TopLine> {
  const column = (header: string, value: (line: TopLine) => unknown) => ({ header, value });
  const percent = (value: number | null) => (value === null ? "--" : `${value.toFixed(1)}%`);
  const high = (value: number | null, bound: number): Style | undefined =>
    value !== null && value >= bound ? "red" : undefined;
  const stall = (header: string, of: (group: Group) => { SomePercent: number } | null) => ({
    ...column(header, ({ group }) => percent(of(group)?.SomePercent ?? null)),
    style: ({ group }: TopLine) => high(of(group)?.SomePercent ?? null, STRAINED),
  });
  return {
    goType: "*cgtop.line",
    whole: !truncate,
    columns: {
      Name: { ...column("NAME", ({ name }) => name), cut: true },
      Path: { ...column("CGROUP", ({ group }) => group.Path), cut: true },
      ID: column("CONTAINER ID", ({ group: { Container } }) =>
        truncate ? (Container?.Id ?? "").slice(0, 12) : (Container?.Id ?? ""),
      ),
      CPUPerc: {
        ...column("CPU %", ({ cpuPercent }) => percent(cpuPercent)),
        style: ({ cpuOfLimit }) => high(cpuOfLimit, HIGH),
      },
      CPULimit: column("CPUS", ({ group: { Cpu } }) =>
        Cpu.LimitCpus === null ? "--" : String(Number(Cpu.LimitCpus.toFixed(2))),
      ),
      CPUThrottled: column("THROTTLED", ({ throttledPercent }) => percent(throttledPercent)),
      MemUsage: column("MEM / LIMIT", ({ memoryBytes, group: { Memory } }) => {
        const used = memoryBytes === null ? "--" : humanBinarySize(memoryBytes);
        const limit = Memory.LimitBytes === null ? "--" : humanBinarySize(Memory.LimitBytes);
        return `${used} / ${limit}`;
      }),
      MemPerc: {
        ...column("MEM %", ({ memoryOfLimit }) => percent(memoryOfLimit)),
        style: ({ memoryOfLimit }) => high(memoryOfLimit, HIGH),
      },
      Swap: column("SWAP", ({ group: { Memory } }) => humanBinarySize(Memory.SwapBytes)),
      OOMKills: column("OOM KILLS", ({ group: { Memory } }) => String(Memory.OomKills)),
      ReadRate: column("READ/S", ({ readPerSecond }) => humanSize(Math.round(readPerSecond), 3)),
      WriteRate: column("WRITE/S", ({ writePerSecond }) =>
        humanSize(Math.round(writePerSecond), 3),
      ),
      PIDs: column("PIDS", ({ group: { Pids } }) => {
        const current = Pids.Current === null ? "--" : String(Pids.Current);
        return Pids.Limit === null ? current : `${current}/${Pids.Limit}`;
      }),
      CPUPressure: stall("CPU WAIT", ({ Pressure }) => Pressure.Cpu),
      MemPressure: stall("MEM WAIT", ({ Pressure }) => Pressure.Memory),
      IOPressure: stall("IO WAIT", ({ Pressure }) => Pressure.Io),
    },
  };
}
