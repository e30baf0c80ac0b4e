// Boot: what the records say is compared with what is really there, and one of the two is made to
// agree. Running containers are found through their monitors' sockets; exits that were missed come
// from the exit records; what was half made or half removed goes; restart policies have their say.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { kindOf } from "../base/index.ts";
import { type ExitStatus, type Monitor, readExitRecord } from "../native/index.ts";
import { endStray } from "./containers/ended-monitor.ts";
import {
  clearCgroups,
  clearRun,
  handleExit,
  lostStatus,
  restartLater,
  watchExit,
} from "./containers/exit.ts";
import { resumeHealthChecks } from "./containers/health.ts";
import { imageLayers } from "./containers/image-mounts.ts";
import { releaseVolumes } from "./containers/mounts.ts";
import type { ContainerRecord } from "./containers/record.ts";
import { removeLocked } from "./containers/remove.ts";
import { wantsStartAtBoot } from "./containers/restart-policy.ts";
import { startLocked } from "./containers/start.ts";
import type { EngineContext } from "./context.ts";
import { finishMoves } from "./networks/connect.ts";
import { NEVER } from "./timestamps.ts";

export async function recover(engine: EngineContext): Promise<void> {
  for (const c of engine.containers.all()) referVolumes(engine, c);
  await engine.volumes.reconcile();

  const running: Running[] = [];
  const ended: [ContainerRecord, ExitStatus][] = [];
  await Promise.all(
    engine.containers.all().map(async (c) => {
      const found = await findRun(engine, c);
      if (found && "monitor" in found) running.push(found);
      else if (found) ended.push([c, found]);
    }),
  );
  await removeStrays(engine, new Set(running.map(({ c }) => c.id)));
  const attachments = running.flatMap(({ c }) => c.run?.attachments ?? []);
  await engine.network.start(attachments);
  for (const { c } of running) await finishMoves(engine, c);
  await resumeShipping(engine, new Set(running.map(({ c }) => c.id)));
  for (const [c, status] of ended) {
    engine.live.of(c.id).stopping = true; // Restart policies are applied below, by boot's rules.
    await handleExit(engine, c, status);
  }
  await finishIntents(engine);
  const snapshotIds = new Set(engine.containers.all().flatMap((c) => [c.id, ...imageLayers(c)]));
  await engine.storage.reconcile({ snapshotIds });
  // Only now, when networks and stores are ready for what an exit does to them.
  for (const { c, monitor } of running) {
    engine.live.of(c.id).monitor = monitor;
    monitor.release();
    watchExit(engine, c, monitor);
    resumeHealthChecks(engine, c);
  }
}

/** Running containers, and those whose last lines may not be shipped yet. */
async function resumeShipping(engine: EngineContext, live: ReadonlySet<string>): Promise<void> {
  for (const c of engine.containers.all()) {
    const isRunning = live.has(c.id);
    if (isRunning || c.startedAt !== NEVER) await engine.shipping.resume(c, { isRunning });
  }
}

type Running = { c: ContainerRecord; monitor: Monitor };

/** Starts what restart policies want started. Does not hold up the boot. */
export async function applyRestartPolicies(engine: EngineContext): Promise<void> {
  await Promise.all(
    engine.containers.all().map(async (c) => {
      const wasRestarting = c.restarting === true;
      const hasRun = c.startedAt !== NEVER;
      if (c.run || c.intent || (!hasRun && !wasRestarting)) return;
      engine.live.of(c.id).stopping = false;
      if (!wasRestarting && !wantsStartAtBoot(c.hostConfig.RestartPolicy, c)) return;
      try {
        await engine.transitions.run(c.id, async () => {
          if (c.run || !engine.containers.get(c.id) || engine.closing.signal.aborted) return;
          await startLocked(engine, c);
        });
      } catch (error) {
        engine.log.error("Failed to start a container at boot", { id: c.id, error });
        restartLater(engine, c, error);
      }
    }),
  );
}

function referVolumes(engine: EngineContext, c: ContainerRecord): void {
  for (const mount of c.mounts) {
    if (mount.Type === "volume" && mount.Name) engine.volumes.refer(mount.Name, c.id);
  }
  // Runs that turn out to have ended let go of them as always, in handleExit.
  for (const name of c.run?.volumes ?? []) {
    const driver = engine.volumes.get(name)?.driver;
    const point = c.mounts.find((mount) => mount.Type === "volume" && mount.Name === name)?.Source;
    engine.volumes.mounts.adopt({ name, ...(driver && { driver, point }) }, c.id);
  }
}

/** The monitor when it answers; the exit status when there was a run that has ended. */
async function findRun(
  engine: EngineContext,
  c: ContainerRecord,
): Promise<Running | ExitStatus | undefined> {
  if (!c.run && c.intent !== "starting") return undefined;
  const paths = engine.paths.container(c.id);
  if (!c.run) {
    // Started, perhaps, but the daemon died before it could remember: as if the start had failed.
    await endStray(engine, paths.socket);
    delete c.intent;
    engine.containers.putFact(c);
    return undefined;
  }
  const monitor = await connect(engine, paths.socket);
  if (monitor) return { c, monitor };
  const status = await readExitRecord(paths.exit).catch(() => undefined);
  await clearRun(engine, c);
  return status ?? lostStatus();
}

async function connect(engine: EngineContext, socket: string): Promise<Monitor | undefined> {
  try {
    return await engine.connectMonitor(socket);
  } catch (error) {
    engine.log.debug("No monitor answers", { socket, kind: kindOf(error) });
    return undefined;
  }
}

/** Completes removals and undoes creations that a crash cut short. */
async function finishIntents(engine: EngineContext): Promise<void> {
  for (const c of engine.containers.all()) {
    if (c.intent === "removing") {
      await removeLocked(engine, c, { removeAnonymousVolumes: c.removeVolumes === true });
    } else if (c.intent === "creating") {
      await engine.storage.snapshots.remove(c.id).catch(() => {});
      await releaseVolumes(engine, c, { removeAnonymous: true });
      await rm(engine.paths.container(c.id).dir, { recursive: true, force: true });
      engine.containers.delete(c);
    } else if (c.hostConfig.AutoRemove && !c.run && c.startedAt !== NEVER) {
      await removeLocked(engine, c, { removeAnonymousVolumes: true });
    }
  }
}

/** Monitors, cgroups and folders that no record knows. */
async function removeStrays(engine: EngineContext, live: ReadonlySet<string>): Promise<void> {
  const known = new Set([...live].map((id) => engine.paths.container(id).socket));
  for (const name of await list(engine.paths.monitors)) {
    const socket = join(engine.paths.monitors, name);
    if (known.has(socket)) continue;
    await endStray(engine, socket);
    await rm(socket, { force: true });
  }
  // Rendezvous sockets of a daemon that was killed (see native's StreamRendezvous).
  const ours = `streams-${process.pid}-`;
  for (const name of await list(engine.options.execRoot)) {
    if (!/^streams-\d+-.*\.sock$/.test(name) || name.startsWith(ours)) continue;
    await rm(join(engine.options.execRoot, name), { force: true });
  }
  for (const id of await list(engine.paths.containers)) {
    // "<id>.image-0": the writable layer of an image mount.
    if (engine.containers.get(id.split(".")[0]!)) continue;
    await rm(engine.paths.container(id).dir, { recursive: true, force: true });
  }
  for (const [id, paths] of await engine.runtime.findCgroups(engine.options.cgroupParent)) {
    const known = engine.containers.get(id);
    // What no record knows may be another engine's, unless the folder is this engine's alone.
    if (known ? !known.run : engine.options.cgroupParentIsOwn) await clearCgroups(engine, paths);
  }
}

async function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}
