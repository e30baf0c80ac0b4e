// The columns of `stats`, computed from one sample and the one before it.

import { humanBinarySize, humanSize } from "../../base/index.ts";
import type { RowType } from "./table.ts";
import { shortId } from "./text.ts";

export interface StatsSample {
  read: string;
  name?: string;
  id?: string;
  pids_stats?: { current?: number };
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null };
  cpu_stats?: CpuStats;
  precpu_stats?: CpuStats;
  memory_stats?: { usage?: number; limit?: number; stats?: Record<string, number> };
  networks?: Record<string, { rx_bytes: number; tx_bytes: number }>;
}
interface CpuStats {
  cpu_usage?: { total_usage?: number; percpu_usage?: number[] | null };
  system_cpu_usage?: number;
  online_cpus?: number;
}
export interface StatsLine {
  container: string;
  name: string;
  id: string;
  valid: boolean;
  cpu: number;
  memory: number;
  memoryLimit: number;
  networkIn: number;
  networkOut: number;
  blockIn: number;
  blockOut: number;
  pids: number;
}

export const STATS_TABLE =
  "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";

export function statsLine(container: string, sample: StatsSample): StatsLine {
  const block = sample.blkio_stats?.io_service_bytes_recursive ?? [];
  const sum = (letter: string) =>
    block
      .filter(({ op }) => op.toLowerCase().startsWith(letter))
      .reduce((total, { value }) => total + value, 0);
  const networks = Object.values(sample.networks ?? {});
  return {
    container,
    name: (sample.name ?? "").replace(/^\//, ""),
    id: sample.id ?? "",
    valid: sample.id !== undefined && sample.id !== "",
    cpu: cpuPercent(sample),
    memory: usedMemory(sample),
    memoryLimit: sample.memory_stats?.limit ?? 0,
    networkIn: networks.reduce((total, { rx_bytes }) => total + rx_bytes, 0),
    networkOut: networks.reduce((total, { tx_bytes }) => total + tx_bytes, 0),
    blockIn: sum("r"),
    blockOut: sum("w"),
    pids: sample.pids_stats?.current ?? 0,
  };
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: StatsSample): number {
  const used = (now?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0);
  const system = (now?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0);
  const cpus = now?.online_cpus || now?.cpu_usage?.percpu_usage?.length || 0;
  return system > 0 && used > 0 ? (used / system) * cpus * 100 : 0;
}

/** Page cache that can be given back is not counted: v1 and v2 name it differently. */
function usedMemory({ memory_stats: memory }: StatsSample): number {
  const usage = memory?.usage ?? 0;
  const cache = memory?.stats?.["total_inactive_file"] ?? memory?.stats?.["inactive_file"] ?? 0;
  return cache < usage ? usage - cache : usage;
}

export function statsRow(truncate: boolean): RowType<StatsLine> {
  const column = (header: string, value: (row: StatsLine) => string) => ({ header, value });
  const size = (bytes: number) => humanSize(bytes, 3);
  const known = (row: StatsLine, text: string) => (row.valid ? text : "--");
  return {
    goType: "*container.statsContext",
    columns: {
      Container: column("CONTAINER", ({ container }) => container),
      Name: column("NAME", ({ name }) => name || "--"),
      ID: column("CONTAINER ID", ({ id }) => (truncate ? shortId(id) : id)),
      CPUPerc: column("CPU %", (row) => known(row, `${row.cpu.toFixed(2)}%`)),
      MemUsage: column("MEM USAGE / LIMIT", (row) =>
        row.valid
          ? `${humanBinarySize(row.memory)} / ${humanBinarySize(row.memoryLimit)}`
          : "-- / --",
      ),
      MemPerc: column("MEM %", (row) =>
        known(
          row,
          `${(row.memoryLimit > 0 ? (row.memory / row.memoryLimit) * 100 : 0).toFixed(2)}%`,
        ),
      ),
      NetIO: column("NET I/O", (row) =>
        known(row, `${size(row.networkIn)} / ${size(row.networkOut)}`),
      ),
      BlockIO: column("BLOCK I/O", (row) =>
        known(row, `${size(row.blockIn)} / ${size(row.blockOut)}`),
      ),
      PIDs: column("PIDS", (row) => known(row, String(row.pids))),
    },
  };
}
