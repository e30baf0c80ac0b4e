// delete: what a container had is given back, and its poststop hooks run.

import { GantryError, messageOf } from "../base/index.ts";
import { hooksDeadlineMs, planCgroupRemove, planHooks, planRdtRemove } from "../runtime/index.ts";
import { type CommandContext, locked } from "./command.ts";
import { publicState } from "./public-state.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";
import { endScope } from "./systemd-scope.ts";

type Context = Pick<CommandContext, "caller" | "folder" | "log">;

/** Removes a container; with `force` also one that runs (it is killed), one whose creation was cut
 * short, or none at all. Commit point: its id is free. */
export async function destroy(
  context: Context,
  id: string,
  { force }: { force: boolean },
): Promise<void> {
  try {
    await locked(context, id, () => destroyLocked(context, id, { force }));
  } catch (error) {
    if (force && error instanceof GantryError && error.kind === "not-found") return;
    throw error;
  }
}

/** The same for whoever has locked the container; the lock is free when hooks run. */
export async function destroyLocked(
  { caller, folder, log }: Context,
  id: string,
  { force }: { force: boolean },
): Promise<void> {
  const state = await folder.read(id).catch(async (error: unknown) => {
    // Its creation was killed before anything was made.
    if (error instanceof GantryError && error.kind === "not-found") await folder.remove(id);
    throw error;
  });
  const status = await statusOf(folder, state);
  if (status !== "stopped" && status !== "created" && !force) {
    throw new GantryError(
      "conflict",
      `cannot delete container ${state.id} that is not stopped: ${status}`,
    );
  }
  await giveBack(caller, state);
  await folder.remove(state.id);
  await caller.unlock();
  await runPoststop({ caller, log }, state);
}

/** What lives in its cgroups dies, also where the pid namespace is another's; they are removed. */
export async function giveBack(
  caller: Pick<Context["caller"], "run">,
  state: ContainerState,
): Promise<void> {
  await caller.run({ host: planCgroupRemove(state.cgroupPaths) });
  if (state.rdt) await caller.run({ host: planRdtRemove(state.rdt) });
  await endScope(state);
}

/** What fails is only told of. */
export async function runPoststop(
  { caller, log }: Pick<Context, "caller" | "log">,
  state: ContainerState,
): Promise<void> {
  const hooks = planHooks(state.spec.hooks, "poststop", {
    state: publicState(state, "stopped"),
    pid: { number: 0 },
  });
  const deadlineMs = hooksDeadlineMs(state.spec.hooks, "poststop");
  for (const hook of hooks) {
    const told = (error: unknown) => log.warn(messageOf(error));
    await caller.run({ host: [hook], deadlineMs }).catch(told);
  }
}
