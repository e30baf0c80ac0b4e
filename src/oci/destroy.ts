// delete: what a container had is given back, and its poststop hooks run.

import { GantryError, messageOf } from "../base/index.ts";
import { planCgroupRemove, planHooks } from "../runtime/index.ts";
import type { Caller } from "./caller.ts";
import { publicState } from "./public-state.ts";
import type { ContainerState, StateFolder } from "./state-folder.ts";
import { statusOf } from "./status.ts";

interface Context {
  caller: Caller;
  folder: StateFolder;
}

/** `force`: a running container is killed first. Commit point: its id is free. */
export async function destroy(
  { caller, folder }: Context,
  state: ContainerState,
  { force }: { force: boolean },
): Promise<void> {
  const status = await statusOf(folder, state);
  if (status !== "stopped" && status !== "created" && !force) {
    throw new GantryError(
      "conflict",
      `cannot delete container ${state.id} that is not stopped: ${status}`,
    );
  }
  // Whatever is left in its cgroups dies, also where the pid namespace is another's.
  await caller.run({ host: planCgroupRemove(state.cgroupPaths) });
  await folder.remove(state.id);
  const hooks = planHooks(state.spec.hooks, "poststop", {
    state: publicState(state, "stopped"),
    pid: { number: 0 },
  });
  for (const hook of hooks) {
    await caller.run({ host: [hook] }).catch((error: unknown) => {
      caller.io.stderr.write(`level=warning msg=${JSON.stringify(messageOf(error))}\n`);
    });
  }
}
