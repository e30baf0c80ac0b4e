// Start: networks, files, the plan, the process. Commit point: the init has exec'd and its monitor
// answers; until then a failure releases everything and leaves docker's exit code and message in
// the state. A client that goes away does not stop a start.

import { unlinkSync } from "node:fs";
import { adviceOf, GantryError, kindOf, messageOf, Rollback } from "../../base/index.ts";
import type { Created } from "../../native/index.ts";
import {
  type CheckpointRef,
  explainRestore,
  openCheckpoint,
  type Restoring,
  restoredProcess,
} from "../checkpoints/index.ts";
import type { EngineContext } from "../context.ts";
import { adviseStart } from "../explain/advise-start.ts";
import { foreignRuntime, foreignStarted } from "../runtimes/foreign.ts";
import { timestamp } from "../timestamps.ts";
import { announce, announceMounts, announceUnmounts } from "./announce.ts";
import { connectPending } from "./attach.ts";
import { connectStarted, endStray } from "./ended-monitor.ts";
import { remember, watchExit } from "./exit.ts";
import { startHealthChecks } from "./health.ts";
import { runPoststart } from "./hooks.ts";
import { prepareLaunch } from "./launch.ts";
import { followLinks } from "./link-ports.ts";
import type { LiveContainer } from "./live.ts";
import { mountVolumes, unmountVolumes, volumeNames } from "./mounts.ts";
import { announceNetworks, attachNetworks, detachNetworks } from "./networking.ts";
import {
  type ContainerRecord,
  isPaused,
  isRemoving,
  isRestarting,
  isRunning,
  type RunFacts,
} from "./record.ts";
import { removeLocked } from "./remove.ts";
import { explainStartFailure } from "./start-failure.ts";
import { withProgram, wordsInstead } from "./unfit-program.ts";

const CONNECT_DEADLINE_MS = 10_000;

/** Error kinds: not-modified when it runs already, invalid when the command cannot be run. */
export async function startContainer(
  engine: EngineContext,
  ref: string,
  checkpoint?: CheckpointRef,
): Promise<void> {
  const { id } = engine.containers.find(ref);
  await engine.transitions.run(id, async () => {
    const c = engine.containers.find(id);
    checkStartable(c);
    const restoring = checkpoint && (await openCheckpoint(engine, c, checkpoint));
    c.manuallyStopped = false;
    c.restartCount = 0;
    engine.live.of(id).restartDelayMs = 0;
    await startLocked(engine, c, restoring);
  });
}

function checkStartable(c: ContainerRecord): void {
  if (isPaused(c)) {
    throw new GantryError("conflict", "cannot start a paused container, try unpause instead");
  }
  if (isRunning(c) || isRestarting(c))
    throw new GantryError("not-modified", `Container ${c.name} is already running`);
  if (isRemoving(c) || c.dead) {
    throw new GantryError("conflict", "container is marked for removal and cannot be started");
  }
}

/** The caller holds the container's transition. Also the way of restart policies and boot. */
export async function startLocked(
  engine: EngineContext,
  c: ContainerRecord,
  restoring?: Restoring,
): Promise<void> {
  const live = engine.live.of(c.id);
  const wasRestarting = isRestarting(c);
  clearTimeout(live.restartTimer);
  live.stopping = false;
  c.intent = "starting";
  try {
    engine.containers.put(c);
    await launch(engine, c, { live, restoring });
  } catch (error) {
    // The spawner may have died after it had started the container.
    if (kindOf(error) === "unavailable")
      await endStray(engine, engine.paths.container(c.id).socket);
    const failure = explainStartFailure(c, error);
    const told = await adviseStart(engine, c, failure.error);
    c.exitCode = failure.exitCode;
    c.error = messageOf(failure.error);
    const advice = adviceOf(told);
    if (advice) c.advice = advice;
    c.restarting = false;
    delete c.intent;
    delete c.run;
    remember(engine, c);
    live.failPendingAttaches();
    engine.log.error("Failed to start a container", { id: c.id, error: failure.error });
    if (wasRestarting) live.announceExit({ exitCode: c.exitCode, error: c.error });
    if (c.hostConfig.AutoRemove) await removeLocked(engine, c, { removeAnonymousVolumes: true });
    throw told;
  }
}

/** As docker begins whatever its networks refuse at a start; kind and advice stay. */
function inNetworking(error: unknown): unknown {
  if (!(error instanceof GantryError)) return error;
  const message = `failed to set up container networking: ${error.message}`;
  return new GantryError(error.kind, message, { cause: error.cause, detail: error.detail });
}

async function launch(
  engine: EngineContext,
  c: ContainerRecord,
  { live, restoring }: { live: LiveContainer; restoring: Restoring | undefined },
) {
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a start`, { id: c.id, error }),
  );
  await live.tornDown;
  const sink = await engine.shipping.open(c);
  if (sink) undo.defer("log driver", () => sink.close());
  undo.defer("volumes", () => unmountVolumes(engine, c));
  await mountVolumes(engine, c);
  undo.defer("events of volumes", async () => announceUnmounts(engine, c, volumeNames(c)));
  announceMounts(engine, c);
  undo.defer("events of networks", async () => announceNetworks(engine, c, "disconnect"));
  const attachments = await attachNetworks(engine, c).catch((error) => {
    throw inNetworking(error);
  });
  undo.defer("network", () => detachNetworks(engine, c, attachments.records));
  const prepare = () =>
    prepareLaunch(engine, c, attachments, {
      holdMs: live.pendingAttaches.size > 0 ? CONNECT_DEADLINE_MS : 0,
      ...(restoring && { restoring }),
    });
  const planned = await prepare();
  forgetLastExit(engine, c);
  // Before its first output: clients read the logs since then (testcontainers).
  const startedAt = timestamp();
  const made = await engine.native.create(planned.plan, planned.monitor).catch(async (error) => {
    if (restoring) throw await explainRestore(error, restoring);
    return await createWithWords(engine, c, error, prepare);
  });
  const created = restoring ? await restoredProcess(made, restoring) : made;
  undo.defer("process", () => kill(created));
  const monitor = await connectStarted(engine, c, created.monitorPid);

  const foreign = foreignRuntime(engine, c);
  const started = foreign ? await foreignStarted(foreign, created, monitor) : created;
  if (!foreign && !restoring) await runPoststart(engine, c, { spec: planned.spec, created });
  c.run = runFacts(c, started, planned.cgroupPaths, attachments.records);
  c.startedAt = startedAt;
  c.exitCode = 0;
  c.error = "";
  c.oomKilled = false;
  c.restarting = false;
  delete c.end;
  delete c.advice;
  delete c.intent;
  live.sent = [];
  live.memoryAtOom = undefined;
  live.wasOomTold = false;
  live.monitor = monitor;
  // Its handling waits for this transition, so that nobody hears of an end before the start.
  watchExit(engine, c, monitor);
  await connectPending(c, live);
  engine.containers.putFact(c);
  undo.commit();
  // Those that it links to may have come or gone since it was attached.
  if (c.links?.length) await followLinks(engine, c);
  if (sink) await engine.shipping.begin(c, sink);
  monitor.release();
  startHealthChecks(engine, c);
  announceNetworks(engine, c, "connect");
  announce(engine, c, "start");
}

/** Where the kernel does not execute the program: a process in its place that says why. */
async function createWithWords(
  engine: EngineContext,
  c: ContainerRecord,
  error: unknown,
  prepare: () => ReturnType<typeof prepareLaunch>,
): Promise<Created> {
  const words = await wordsInstead(engine, c, error, (e) => explainStartFailure(c, e));
  if (words === undefined || foreignRuntime(engine, c)) throw error;
  const again = await prepare(); // a root that was mounted once is mounted anew
  forgetLastExit(engine, c);
  return await engine.native.create(withProgram(again.plan, words), again.monitor);
}

function runFacts(
  c: ContainerRecord,
  created: Created,
  cgroupPaths: Record<string, string>,
  attachments: RunFacts["attachments"],
): RunFacts {
  for (const { dns } of attachments) if (dns) dns.pid = created.pid;
  return {
    pid: created.pid,
    startTicks: String(created.startTicks),
    monitorPid: created.monitorPid,
    paused: false,
    cgroupPaths,
    attachments,
    volumes: volumeNames(c),
  };
}

/** The exit record of the run before must not be taken for that of this one. */
function forgetLastExit(engine: EngineContext, c: ContainerRecord): void {
  try {
    unlinkSync(engine.paths.container(c.id).exit);
  } catch {
    // The usual case: it has not run before.
  }
}

function kill(created: Created): void {
  try {
    process.kill(created.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
