// start and run: a created container's program runs; run makes the container first and, in the
// foreground, stays until it has ended.

import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import { hooksDeadlineMs, planHooks, planSeccompAgent } from "../runtime/index.ts";
import { type CommandContext, locked } from "./command.ts";
import { type CreateOptions, create } from "./create.ts";
import { destroy } from "./destroy.ts";
import { killPlan, SIGKILL } from "./kill.ts";
import { publicState } from "./public-state.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";

/** Commit point: the container's program runs. A poststart hook that fails ends the container. */
export async function start(
  context: CommandContext,
  id: string,
  o: { foreground: boolean },
): Promise<void> {
  const { caller, folder } = context;
  const state = await locked(context, id, async () => {
    const before = await folder.read(id);
    checkCreated(await statusOf(folder, before));
    if (managerOf(context, before)) await caller.listen(folder.notifySocket(id));
    await caller.run({
      host: [
        ...planSeccompAgent(before.spec.linux?.seccomp, {
          state: publicState(before, "created"),
          pid: before.pid,
        }),
        { op: "releaseStart", path: folder.startSocket(id) },
      ],
      deadlineMs: hooksDeadlineMs(before.spec.hooks, "startContainer"),
    });
    await folder.forgetSocket(id);
    return before;
  });
  // Hooks may work on the container: it is not locked any more.
  await runPoststart(context, state);
  await awaitReady(context, state, o);
}

function checkCreated(status: string): void {
  if (status === "created") return;
  const why: Readonly<Record<string, string>> = {
    stopped: "cannot start a container that has stopped",
    creating: "cannot start a container that is not created",
  };
  const message = why[status] ?? "cannot start an already running container";
  throw new GantryError("conflict", message);
}

async function runPoststart({ caller }: CommandContext, state: ContainerState): Promise<void> {
  const hooks = planHooks(state.spec.hooks, "poststart", {
    state: publicState(state, "running"),
    pid: { number: state.pid },
  });
  if (hooks.length === 0) return;
  try {
    const deadlineMs = hooksDeadlineMs(state.spec.hooks, "poststart");
    await caller.run({ host: hooks, deadlineMs });
  } catch (error) {
    await caller.run({ host: killPlan(state, SIGKILL) }).catch(() => {});
    throw error;
  }
}

function managerOf({ caller }: CommandContext, state: ContainerState): string | undefined {
  return state.notifies && (caller.io.env["NOTIFY_SOCKET"] || undefined);
}

/** Until the program says that it is ready, or ends; in the foreground somebody else waits. */
async function awaitReady(
  context: CommandContext,
  state: ContainerState,
  { foreground }: { foreground: boolean },
): Promise<void> {
  const manager = managerOf(context, state);
  if (manager === undefined) return;
  const { pid } = state;
  const mainPid = foreground ? 0 : pid;
  await context.caller.notify({ manager, pid, mainPid, background: foreground });
}

/** Resolves with the exit code to give; a container that is detached goes on. */
export async function run(
  context: CommandContext,
  id: string,
  o: CreateOptions & { keep: boolean },
): Promise<number> {
  const { caller } = context;
  // From now on signals wait for the container.
  if (o.foreground) caller.io.onSignal(() => {});
  const state = await create(context, id, o);
  try {
    await start(context, id, o);
  } catch (error) {
    await destroy(context, id, { force: true });
    throw error;
  }
  if (!o.foreground) return 0;
  const code = await caller.wait(state.pid, { terminal: state.spec.process!.terminal === true });
  if (!o.keep) await destroy(context, id, { force: true });
  if (o.pidFile) await rm(resolve(caller.io.cwd, o.pidFile), { force: true });
  return code;
}
