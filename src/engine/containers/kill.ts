// Kill: one signal to the init of a container.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { timestamp } from "../timestamps.ts";
import { announce } from "./announce.ts";
import { noteSignal } from "./ending.ts";
import { remember } from "./exit.ts";
import { setFrozen } from "./pause.ts";
import { type ContainerRecord, isPaused, isRestarting, isRunning } from "./record.ts";
import { parseSignal, SIGKILL } from "./signals.ts";

/** Commit point: the signal is sent; for SIGKILL also awaits the recorded exit. */
export async function killContainer(
  engine: EngineContext,
  ref: string,
  signalName: string,
): Promise<void> {
  const c = findToKill(engine, ref);
  const signal = parseSignal(signalName || "SIGKILL", `cannot kill container: ${ref}: `);
  if (!isRunning(c) && !isRestarting(c)) throw notRunning(c);
  const live = engine.live.of(c.id);
  const stops = c.config.StopSignal ? parseSignal(c.config.StopSignal) === signal : true;
  if (signal === SIGKILL || stops) {
    live.stopping = true;
    c.manuallyStopped = true;
    remember(engine, c);
  }
  if (isRestarting(c)) {
    clearTimeout(live.restartTimer);
    c.restarting = false;
    remember(engine, c);
    live.announceExit({ exitCode: c.exitCode });
    return;
  }
  if (signal !== SIGKILL) return await sendSignal(engine, c, signal);
  const { exitHandled, monitor } = live;
  try {
    await sendSignal(engine, c, signal);
  } catch (error) {
    // It ended by itself just now, or the monitor went with it before it could answer.
    if (!monitor) throw error;
  }
  await exitHandled;
}

/** Sends and announces; a paused container is thawed where the signal is meant to end it. */
export async function sendSignal(
  engine: EngineContext,
  c: ContainerRecord,
  signal: number,
): Promise<void> {
  const { monitor } = engine.live.of(c.id);
  if (!isRunning(c) || !monitor) throw notRunning(c);
  noteSignal(engine.live.of(c.id).sent, signal, timestamp());
  try {
    await monitor.kill("", signal);
  } catch (cause) {
    // Between its exit and our hearing of it.
    throw new GantryError("conflict", messageNotRunning(c), { cause });
  }
  announce(engine, c, "kill", { signal: String(signal) });
  if (isPaused(c)) await setFrozen(engine, c, false);
}

function findToKill(engine: EngineContext, ref: string): ContainerRecord {
  try {
    return engine.containers.find(ref);
  } catch (cause) {
    if (!(cause instanceof GantryError)) throw cause;
    const message = `cannot kill container: ${ref}: ${cause.message}`;
    throw new GantryError(cause.kind, message, { cause });
  }
}

const messageNotRunning = (c: ContainerRecord): string =>
  `cannot kill container: ${c.name}: container ${c.id} is not running`;

function notRunning(c: ContainerRecord): GantryError {
  return new GantryError("conflict", messageNotRunning(c));
}
