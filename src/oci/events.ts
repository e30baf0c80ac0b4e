// events: the numbers of a container, once or at intervals, and when its memory has run out.

import { readFile } from "node:fs/promises";
import { GantryError } from "../base/index.ts";
import type { CommandContext } from "./command.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import type { ContainerState } from "./state-folder.ts";
import { statsOf } from "./stats.ts";
import { statusOf } from "./status.ts";

export const EVENTS_FLAGS = {
  interval: { kind: "duration", about: "time between two lines of numbers (default: 5s)" },
  stats: { kind: "bool", about: "print the numbers once" },
} as const satisfies FlagTable;

const INTERVAL_NS = 5e9;
const NS_PER_MS = 1e6;

/** Resolves when the container is gone, or the caller is. */
export async function events(
  { caller, folder }: CommandContext,
  id: string,
  flags: FlagValues,
): Promise<void> {
  const interval = flags.duration("interval", INTERVAL_NS);
  if (interval <= 0) throw new GantryError("invalid", "duration interval must be greater than 0");
  const state = await folder.read(id);
  const status = await statusOf(folder, state);
  if (status === "stopped" || status === "creating") {
    throw new GantryError("conflict", `container with id ${id} is not running`);
  }
  const tell = (type: string, data?: unknown) =>
    caller.io.stdout.write(`${JSON.stringify({ type, id, ...(data ? { data } : {}) })}\n`);
  const tellStats = async () => tell("stats", await statsOfContainer(state));
  if (flags.flag("stats")) {
    await tellStats();
    return;
  }
  const path = memoryEventsOf(state);
  const { gone } = await caller.watchMemory(path, () => tell("oom"));
  let isReading = false;
  const timer = setInterval(() => {
    if (isReading) return;
    isReading = true;
    tellStats()
      .catch(() => {}) // it is being removed
      .finally(() => (isReading = false));
  }, interval / NS_PER_MS);
  try {
    await Promise.race([gone, aborted(caller.io.signal)]);
  } finally {
    clearInterval(timer);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function memoryEventsOf({ cgroupPaths }: ContainerState): string {
  const v1 = cgroupPaths["memory"];
  if (v1 !== undefined) return `${v1}/memory.oom_control`;
  const v2 = cgroupPaths[""];
  if (v2 !== undefined) return `${v2}/memory.events`;
  throw new GantryError("not-implemented", "the host has no memory cgroup controller");
}

async function statsOfContainer({ cgroupPaths }: ContainerState) {
  return await statsOf(cgroupPaths, (path) => readFile(path, "utf8").catch(() => ""));
}
