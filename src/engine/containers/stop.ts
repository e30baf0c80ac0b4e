// Stop: the stop signal, the grace period, then SIGKILL. Also used by restart and a closing engine.

import { GantryError, TIMER_MS_MAX } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { remember } from "./exit.ts";
import { sendSignal } from "./kill.ts";
import { type ContainerRecord, isRestarting, isRunning } from "./record.ts";
import { parseSignal, SIGKILL } from "./signals.ts";

/** How long a killed process may take to be gone before the kernel is to blame. */
const KILL_DEADLINE_MS = 10_000;

export interface StopOptions {
  /** Seconds of grace; -1 waits for ever. */
  timeoutSeconds?: number;
  stopSignal?: string;
}

/** Error kinds: not-modified when it does not run. Commit point: the first signal is sent. */
export async function stopContainer(
  engine: EngineContext,
  ref: string,
  o: StopOptions = {},
): Promise<void> {
  const c = engine.containers.find(ref);
  if (!isRunning(c) && !isRestarting(c)) {
    throw new GantryError("not-modified", `Container ${c.name} is already stopped`);
  }
  if (o.stopSignal) parseSignal(o.stopSignal, `cannot stop container: ${ref}: `);
  await stopRunning(engine, c, o);
  announce(engine, c, "stop");
}

/** Resolves when the container has stopped and its exit is recorded. */
export async function stopRunning(
  engine: EngineContext,
  c: ContainerRecord,
  o: StopOptions = {},
): Promise<void> {
  const signal = parseSignal(o.stopSignal || c.config.StopSignal || "SIGTERM");
  const live = engine.live.of(c.id);
  live.stopping = true;
  if (await cancelRestart(engine, c)) return;
  if (!engine.closing.signal.aborted) c.manuallyStopped = true;
  remember(engine, c);
  const seconds =
    o.timeoutSeconds ?? c.config.StopTimeout ?? engine.options.defaults.stopTimeoutSeconds;
  await sendSignal(engine, c, signal).catch(ignoreNotRunning);
  if (seconds >= 0) {
    if (await endsWithin(live.exitHandled, seconds * 1000)) return;
    engine.log.info("Container failed to exit in time; sending SIGKILL", { id: c.id, seconds });
    await sendSignal(engine, c, SIGKILL).catch(ignoreNotRunning);
    if (await endsWithin(live.exitHandled, KILL_DEADLINE_MS)) return;
    throw new GantryError(
      "internal",
      `cannot stop container: ${c.id}: tried to kill container, but did not receive an exit event`,
    );
  }
  await live.exitHandled;
}

/** A container that waits for its next start is stopped by not starting it. */
async function cancelRestart(engine: EngineContext, c: ContainerRecord): Promise<boolean> {
  if (!isRestarting(c)) return false;
  return engine.transitions.run(c.id, async () => {
    if (!isRestarting(c)) return false;
    clearTimeout(engine.live.of(c.id).restartTimer);
    c.restarting = false;
    c.manuallyStopped = true;
    remember(engine, c);
    engine.live.of(c.id).announceExit({ exitCode: c.exitCode });
    return true;
  });
}

async function endsWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, TIMER_MS_MAX), false);
  });
  try {
    return await Promise.race([promise.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function ignoreNotRunning(error: unknown): void {
  if (!(error instanceof GantryError) || error.kind !== "conflict") throw error;
}
