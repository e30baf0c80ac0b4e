// Pause and unpause: the freezer of the container's cgroup.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { remember } from "./exit.ts";
import { type ContainerRecord, isPaused, isRestarting, isRunning } from "./record.ts";

export async function pauseContainer(engine: EngineContext, ref: string): Promise<void> {
  const c = engine.containers.find(ref);
  await engine.transitions.run(c.id, async () => {
    if (isRestarting(c)) {
      throw new GantryError(
        "conflict",
        `Container ${c.id} is restarting, wait until the container is running`,
      );
    }
    if (!isRunning(c)) throw new GantryError("conflict", `container ${c.id} is not running`);
    if (isPaused(c)) throw new GantryError("conflict", `Container ${c.id} is already paused`);
    await setFrozen(engine, c, true);
    announce(engine, c, "pause");
  });
}

export async function unpauseContainer(engine: EngineContext, ref: string): Promise<void> {
  const c = engine.containers.find(ref);
  await engine.transitions.run(c.id, async () => {
    if (!isPaused(c)) throw new GantryError("conflict", `Container ${c.id} is not paused`);
    await setFrozen(engine, c, false);
    announce(engine, c, "unpause");
  });
}

/** Freezes or thaws without an event. */
export async function setFrozen(
  engine: EngineContext,
  c: ContainerRecord,
  frozen: boolean,
): Promise<void> {
  if (!c.run) return;
  await engine.native.run({ host: engine.runtime.planFreeze(c.run.cgroupPaths, frozen) });
  c.run.paused = frozen;
  remember(engine, c);
}
