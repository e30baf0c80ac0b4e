// What a container is doing, from the kernel: its first process, and whether it is frozen.

import { readFile } from "node:fs/promises";
import type { ContainerState, StateFolder } from "./state-folder.ts";

export type Status = "creating" | "created" | "running" | "paused" | "stopped";

export async function statusOf(folder: StateFolder, state: ContainerState): Promise<Status> {
  if (state.pid === 0) return "creating";
  if (!(await isAlive(state))) return "stopped";
  if (await isFrozen(state.cgroupPaths)) return "paused";
  return (await folder.isWaiting(state.id)) ? "created" : "running";
}

/** Whether the first process is still the one that was started, and no zombie. */
export async function isAlive({ pid, startTicks }: ContainerState): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  // The name may hold anything, the fields after it may not.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [condition] = fields;
  return fields[19] === startTicks && condition !== "Z" && condition !== "X";
}

async function isFrozen(paths: Readonly<Record<string, string>>): Promise<boolean> {
  const v1 = paths["freezer"];
  if (v1 !== undefined) return (await text(`${v1}/freezer.state`)) !== "THAWED";
  const v2 = paths[""];
  return v2 !== undefined && (await text(`${v2}/cgroup.freeze`)) === "1";
}

async function text(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "THAWED")).trim();
}
