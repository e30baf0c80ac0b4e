// Restart: a stop that --rm and the restart policy do not see, then a start.

import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { isRestarting, isRunning } from "./record.ts";
import { startLocked } from "./start.ts";
import { type StopOptions, stopRunning } from "./stop.ts";

export async function restartContainer(
  engine: EngineContext,
  ref: string,
  o: StopOptions = {},
): Promise<void> {
  const c = engine.containers.find(ref);
  const live = engine.live.of(c.id);
  live.keepAfterExit = true;
  try {
    if (isRunning(c) || isRestarting(c)) {
      await stopRunning(engine, c, o);
      announce(engine, c, "stop");
    }
    await engine.transitions.run(c.id, async () => {
      if (isRunning(c)) return;
      c.manuallyStopped = false;
      await startLocked(engine, c);
    });
  } finally {
    live.keepAfterExit = false;
  }
  announce(engine, c, "restart");
}
