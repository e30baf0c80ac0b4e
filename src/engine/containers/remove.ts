// Remove: the writable layer, the files, anonymous volumes when asked, the record. Intent is
// written first, so that a removal which was cut short is completed at the next boot.

import { unlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { GantryError, messageOf } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { remember } from "./exit.ts";
import { killContainer } from "./kill.ts";
import { unlink } from "./link-ports.ts";
import { releaseVolumes } from "./mounts.ts";
import { type ContainerRecord, isPaused, isRemoving, isRestarting, isRunning } from "./record.ts";
import { waitResult } from "./wait.ts";

export interface RemoveOptions {
  force?: boolean;
  volumes?: boolean;
  link?: boolean;
}

/** Commit point: the intent is recorded. */
export async function removeContainer(
  engine: EngineContext,
  ref: string,
  o: RemoveOptions = {},
): Promise<void> {
  if (o.link) return await unlink(engine, ref);
  const c = engine.containers.find(ref);
  if (isRemoving(c) && !c.dead) {
    throw new GantryError("conflict", `removal of container ${ref} is already in progress`);
  }
  for (;;) {
    await endForRemoval(engine, c, o);
    const removed = await engine.transitions.run(c.id, async () => {
      // It may have been removed (--rm) or started (a restart policy) while we waited.
      if (!engine.containers.get(c.id)) return true;
      if (isRunning(c)) return false;
      await removeLocked(engine, c, { removeAnonymousVolumes: o.volumes === true });
      return true;
    });
    if (removed) return;
  }
}

/** Throws conflict where the container runs and is not to be ended by force. */
async function endForRemoval(
  engine: EngineContext,
  c: ContainerRecord,
  o: RemoveOptions,
): Promise<void> {
  if (!isRunning(c) && !isRestarting(c)) return;
  if (!o.force) throw inUse(c);
  await killContainer(engine, c.id, "SIGKILL").catch((error) => {
    if (isRunning(c)) throw error;
  });
}

/** The caller holds the container's transition. */
export async function removeLocked(
  engine: EngineContext,
  c: ContainerRecord,
  { removeAnonymousVolumes }: { removeAnonymousVolumes: boolean },
): Promise<void> {
  const live = engine.live.of(c.id);
  clearTimeout(live.restartTimer);
  c.intent = "removing";
  c.removeVolumes = removeAnonymousVolumes;
  c.restarting = false;
  // Removing is how people make room: it goes on where not even the intent can be written.
  remember(engine, c);
  try {
    await engine.shipping.release(c.id);
    unlinkFiles(engine, c);
    await engine.storage.snapshots.remove(c.id);
    await releaseVolumes(engine, c, { removeAnonymous: removeAnonymousVolumes });
    await rm(engine.paths.container(c.id).dir, { recursive: true, force: true });
    engine.containers.delete(c);
  } catch (cause) {
    c.dead = true;
    remember(engine, c);
    const message = `cannot remove container ${JSON.stringify(c.name)}: ${messageOf(cause)}`;
    throw new GantryError("internal", message, { cause });
  }
  live.failPendingAttaches();
  announce(engine, c, "destroy");
  // Only a failed removal is an error here; why it never started was the start's to say.
  live.announceRemoval(waitResult(c));
  engine.live.forget(c.id);
  engine.logs.forget(c.id);
}

/** The few files that every container has, without a trip each through the thread pool; the folder
 * is then removed with the snapshot. Rotated logs are left to the recursive removal. */
function unlinkFiles(engine: EngineContext, c: ContainerRecord): void {
  const { hostname, hosts, resolvConf, exit, log } = engine.paths.container(c.id);
  for (const path of [hostname, hosts, resolvConf, exit, log, `${log}.000001`]) {
    try {
      unlinkSync(path);
    } catch {
      // Not every container has run, or has a log.
    }
  }
}

function inUse(c: ContainerRecord): GantryError {
  const why = isPaused(c)
    ? "container is paused and must be unpaused first"
    : isRestarting(c)
      ? "container is restarting: stop the container before removing or force remove"
      : "container is running: stop the container before removing or force remove";
  return new GantryError("conflict", `cannot remove container ${JSON.stringify(c.name)}: ${why}`);
}
