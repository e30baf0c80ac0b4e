// pause and resume: all processes of a container stand still.

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../base/index.ts";
import { planFreeze } from "../runtime/index.ts";
import { type CommandContext, locked } from "./command.ts";
import { statusOf } from "./status.ts";

/** cgroup v1 tells by its file alone when the last process has stopped; most have at once. */
const ROUNDS_MAX = 500;
const ROUND_MS = 10;

/** Commit point: every process has stopped, or goes on. */
export async function freeze(context: CommandContext, id: string, frozen: boolean): Promise<void> {
  const { caller, folder } = context;
  await locked(context, id, async () => {
    const state = await folder.read(id);
    const status = await statusOf(folder, state);
    if (frozen && status !== "running" && status !== "created") {
      throw new GantryError("conflict", `container not running or created: ${status}`);
    }
    if (!frozen && status !== "paused") throw new GantryError("conflict", "container not paused");
    await caller.run({ host: planFreeze(state.cgroupPaths, frozen) });
    if (!frozen || (await hasStopped(state.cgroupPaths))) return;
    await caller.run({ host: planFreeze(state.cgroupPaths, false) });
    throw new GantryError("timeout", "unable to freeze");
  });
}

async function hasStopped(paths: Readonly<Record<string, string>>): Promise<boolean> {
  const v1 = paths["freezer"];
  const path = v1 ? `${v1}/freezer.state` : `${paths[""]}/cgroup.events`;
  const stopped = v1 ? /^FROZEN$/m : /^frozen 1$/m;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (stopped.test(await readFile(path, "utf8"))) return true;
    await delay(ROUND_MS);
  }
  return false;
}
