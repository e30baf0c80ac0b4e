// Memory of processes as the kernel counts it, in KiB. PSS shares out what several processes map.

import { readFile } from "node:fs/promises";

/** Sum of the resident memory of these processes. */
export async function rssOf(pids: readonly number[]): Promise<number> {
  let sum = 0;
  for (const pid of pids) sum += await field(`/proc/${pid}/status`, "VmRSS");
  return sum;
}

/** The most that these processes have had in memory, each at its own time. */
export async function peakOf(pids: readonly number[]): Promise<number> {
  let sum = 0;
  for (const pid of pids) sum += await field(`/proc/${pid}/status`, "VmHWM");
  return sum;
}

/** PSS of the process that looks after a container: the parent of its init. */
export async function pssOfParent(initPid: number): Promise<number> {
  const parent = await field(`/proc/${initPid}/status`, "PPid");
  return await field(`/proc/${parent}/smaps_rollup`, "Pss");
}

async function field(path: string, name: string): Promise<number> {
  const text = await readFile(path, "utf8").catch(() => "");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

export function kibibytes(value: number): string {
  return value < 1024 ? `${value.toFixed(0)} KiB` : `${(value / 1024).toFixed(1)} MiB`;
}
