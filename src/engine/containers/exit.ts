// What happens when a container's init has ended: the fact is recorded, networks are released,
// waiters hear of it, and then the restart policy or --rm has its turn.

import { errnoOf, kindOf, messageOf } from "../../base/index.ts";
import { type ExitStatus, type Monitor, readExitRecord } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import type { CgroupPaths } from "../runtime-plans.ts";
import { millisecondsOf, timestampOf } from "../timestamps.ts";
import { announce, announceVolume } from "./announce.ts";
import { endRecord, memoryNow } from "./ending.ts";
import { endHealthChecks } from "./health.ts";
import { announceNetworks, detachNetworks } from "./networking.ts";
import type { ContainerRecord } from "./record.ts";
import { removeLocked } from "./remove.ts";
import { nextDelayMs, wantsRestart } from "./restart-policy.ts";
import { startLocked } from "./start.ts";
import { waitResult } from "./wait.ts";

/** Exit code where the status was lost with the monitor, as docker has it. */
const EXIT_LOST = 255;
/** Failures of the machine, not of the container. */
const SHORTAGES = ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN"];
/** Clients take the exit for the end of the output, so output goes first; dockerd waits as long. */
const OUTPUT_DRAIN_MAX_MS = 2_000;

/** Follows the run of `c` to its end, in the background. */
export function watchExit(engine: EngineContext, c: ContainerRecord, monitor: Monitor): void {
  const live = engine.live.of(c.id);
  monitor.onOom(() => {
    live.wasOomTold = true;
    announce(engine, c, "oom");
    void memoryNow(c.run?.cgroupPaths ?? {}).then((memory) => {
      live.memoryAtOom = { ...live.memoryAtOom, ...memory };
    });
  });
  monitor.onLogRotated(() => engine.logs.tidy(c.id));
  live.exitHandled = monitor.exited
    .catch((error: unknown) => lostExit(engine, c, error))
    .then((status) => {
      if (engine.closing.signal.aborted && engine.options.liveRestore) return undefined;
      return engine.transitions.run(c.id, () => handleExit(engine, c, status));
    })
    .catch((error: unknown) => {
      engine.log.error("Failed to handle the exit of a container", { id: c.id, error });
    });
}

/** The monitor has vanished: its container must not go on without one. */
async function lostExit(
  engine: EngineContext,
  c: ContainerRecord,
  error: unknown,
): Promise<ExitStatus> {
  if (engine.closing.signal.aborted) return lostStatus();
  // A monitor that ended before it could tell us has left its record.
  const recorded = await readExitRecord(engine.paths.container(c.id).exit).catch(() => undefined);
  if (recorded) return recorded;
  engine.log.error("Lost the monitor of a container", { id: c.id, error: messageOf(error) });
  await clearRun(engine, c);
  return lostStatus();
}

/** Ends what a run without a monitor left: its processes, then their cgroups. */
export async function clearRun(engine: EngineContext, c: ContainerRecord): Promise<void> {
  if (!c.run) return;
  await clearCgroups(engine, c.run.cgroupPaths);
}

/** Each operation whatever becomes of the others. */
export async function clearCgroups(engine: EngineContext, paths: CgroupPaths): Promise<void> {
  for (const operation of engine.runtime.planCgroupRemove(paths)) {
    await engine.native.run({ host: [operation] }).catch((error) => {
      engine.log.warn("Failed to clear a cgroup", { paths: JSON.stringify(paths), error });
    });
  }
}

export const lostStatus = (): ExitStatus => ({
  code: EXIT_LOST,
  signal: 0,
  oomKilled: false,
  finishedAt: new Date(),
  lost: true,
});

/** The caller holds the container's transition. */
export async function handleExit(
  engine: EngineContext,
  c: ContainerRecord,
  status: ExitStatus,
): Promise<void> {
  const run = c.run;
  if (!run) return;
  const live = engine.live.of(c.id);
  await live.outputsDrained(OUTPUT_DRAIN_MAX_MS);
  endHealthChecks(engine, c);
  live.depart();
  // Until then lines of a non-blocking log may be on their way to the disk.
  void live.tornDown.then(() => engine.shipping.finish(c.id));
  dropIdleExecs(engine, c);

  const ranMs = Math.max(0, status.finishedAt.getTime() - millisecondsOf(c.startedAt));
  c.exitCode = status.code;
  c.oomKilled = status.oomKilled;
  c.end = endRecord(status, run, { sent: live.sent, memory: live.memoryAtOom });
  // The monitor's clock ticks in milliseconds here: a short run must not end before it began.
  const finishedAt = timestampOf(status.finishedAt);
  c.finishedAt = [finishedAt, c.startedAt].sort().at(-1)!;
  delete c.run;
  const restart =
    !live.stopping && !engine.closing.signal.aborted && wantsRestart(c.hostConfig.RestartPolicy, c);
  if (restart) {
    c.restarting = true;
    c.restartCount++;
  }
  remember(engine, c);
  await detachNetworks(engine, c, run.attachments).catch((error) => {
    engine.log.error("Failed to release the networks of a container", { id: c.id, error });
  });
  announceNetworks(engine, c, "disconnect");
  for (const name of run.volumes) {
    await engine.volumes.mounts.release(name, c.id);
    announceVolume(engine, "unmount", name, { container: c.id });
  }
  // It may have been killed so before anybody listened to its monitor.
  if (status.oomKilled && !live.wasOomTold) announce(engine, c, "oom");
  announce(engine, c, "die", {
    exitCode: String(status.code),
    execDuration: String(Math.floor(ranMs / 1000)),
  });
  live.announceExit(waitResult(c));
  if (restart) scheduleRestart(engine, c, ranMs);
  else if (c.hostConfig.AutoRemove && !live.keepAfterExit) {
    await removeLocked(engine, c, { removeAnonymousVolumes: true });
  }
}

/** Writes the record where a failure (a full disk) must not keep the rest from being done: the next
 * boot finds out again what could not be written. */
export function remember(engine: EngineContext, c: ContainerRecord): void {
  try {
    engine.containers.putFact(c);
  } catch (error) {
    engine.log.error("Failed to remember the state of a container", { id: c.id, error });
  }
}

/** Starts the container again after the back-off, unless someone else acts first. */
export function scheduleRestart(engine: EngineContext, c: ContainerRecord, ranMs: number): void {
  const live = engine.live.of(c.id);
  live.restartDelayMs = nextDelayMs(live.restartDelayMs, ranMs);
  live.restartTimer = setTimeout(() => {
    void engine.transitions
      .run(c.id, async () => {
        if (!c.restarting || c.run || engine.closing.signal.aborted) return;
        await startLocked(engine, c);
      })
      .catch((error) => {
        engine.log.error("Failed to restart a container", { id: c.id, error });
        restartLater(engine, c, error);
      });
  }, live.restartDelayMs);
}

/** A start that the policy wants and that failed for want of room, descriptors or memory is tried
 * again when there may be some; any other failure is the container's own, and the end of it. */
export function restartLater(engine: EngineContext, c: ContainerRecord, error: unknown): void {
  const isOver = engine.closing.signal.aborted || engine.live.of(c.id).stopping;
  const isShortage = kindOf(error) === "exhausted" || SHORTAGES.includes(errnoOf(error) ?? "");
  if (!isShortage || isOver || c.run || c.intent || c.restarting) return;
  if (engine.containers.get(c.id) !== c || c.manuallyStopped) return;
  c.restarting = true;
  scheduleRestart(engine, c, 0);
}

/** What was created but never started cannot be started any more; the others die with the pid
 * namespace and say so themselves. */
function dropIdleExecs(engine: EngineContext, c: ContainerRecord): void {
  const live = engine.live.of(c.id);
  for (const [id, exec] of live.execs) {
    if (exec.started) continue;
    live.execs.delete(id);
    engine.live.execs.delete(id);
  }
}
