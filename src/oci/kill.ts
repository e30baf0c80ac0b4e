// kill: a signal to a container's first process, or to all of them.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import { planFreeze } from "../runtime/index.ts";
import type { CommandContext } from "./command.ts";
import { signalNumber } from "./signals.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";

export const SIGKILL = 9;

/** Nobody is waited for: a signal must come through whatever else is under way. */
export async function kill(
  { caller, folder }: CommandContext,
  id: string,
  { signal: name, all }: { signal: string; all: boolean },
): Promise<void> {
  const state = await folder.read(id);
  const signal = signalNumber(name);
  const status = await statusOf(folder, state);
  if (!all && (status === "stopped" || status === "creating")) {
    throw new GantryError("conflict", "container not running");
  }
  // Without a pid namespace of its own, the death of the first process ends no other.
  const everyone = all || (signal === SIGKILL && !hasPidNamespace(state));
  await caller.run({ host: everyone ? killAll(state, signal) : killPlan(state, signal) });
  if (signal === SIGKILL && status === "paused" && !everyone) {
    await caller.run({ host: planFreeze(state.cgroupPaths, false) });
  }
}

function hasPidNamespace({ spec }: ContainerState): boolean {
  return (spec.linux?.namespaces ?? []).some(({ type, path }) => type === "pid" && !path);
}

/** Signals one process, if it is still that one. */
export const killPlan = (
  { pid, startTicks }: Pick<ContainerState, "pid" | "startTicks">,
  signal: number,
): Operation[] => [
  { op: "pidfdOpen", pid, to: 0, startTicks: BigInt(startTicks) },
  { op: "kill", slot: 0, signal },
];

function killAll({ cgroupPaths }: ContainerState, signal: number): Operation[] {
  const path = cgroupPaths[""] ?? cgroupPaths["pids"] ?? Object.values(cgroupPaths)[0];
  const freezer = cgroupPaths["freezer"];
  if (path === undefined) return [];
  // On a hybrid host v2 can only kill; other signals go by the processes that it lists.
  return [
    { op: "killCgroup", path, signal, missingOk: true, ...(freezer !== undefined && { freezer }) },
  ];
}
