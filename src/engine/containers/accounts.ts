// Who a container's user is: /etc/passwd and /etc/group as the container will see them. An image's
// files never change, so they are read once an image; only a container that has written to its
// /etc (or mounts something there) is looked into itself.

import { stat } from "node:fs/promises";
import type { Operation, PlanResults } from "../../native/index.ts";
import type { DiskImage, RootfsMount } from "../../spec/index.ts";
import { mountOverlay } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";
import { resolveUser } from "./resolve-user.ts";

const ROOT = 0;
const O_PATH_DIRECTORY = 0o10000000 | 0o200000;
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const CACHED_IMAGES_MAX = 256;

export interface Accounts {
  passwd: string;
  group: string;
}

const caches = new WeakMap<EngineContext, Map<string, Promise<Accounts>>>();

export async function readAccounts(engine: EngineContext, c: ContainerRecord): Promise<Accounts> {
  if (!(await isPristine(engine, c))) return read(engine, currentRoot(engine, c));
  const cache = caches.get(engine) ?? new Map<string, Promise<Accounts>>();
  caches.set(engine, cache);
  const known = cache.get(c.imageId);
  if (known) return known;
  const reading = read(engine, imageRoot(engine.storage.snapshots.get(c.id)));
  reading.catch(() => cache.delete(c.imageId));
  cache.set(c.imageId, reading);
  if (cache.size > CACHED_IMAGES_MAX) cache.delete(cache.keys().next().value!);
  return reading;
}

/** Those of an image of these layers, for a container that is not made. */
export async function accountsOfLayers(
  engine: EngineContext,
  diffIds: readonly string[],
): Promise<Accounts> {
  const lowerDirs = engine.storage.snapshots.lowerDirs(diffIds);
  if (lowerDirs.length === 0) return { passwd: "", group: "" };
  return read(engine, mountOverlay({ lowerDirs }, ROOT));
}

/** Uid and gid of a `--user` value in this container. */
export async function userOf(
  engine: EngineContext,
  c: ContainerRecord,
  user: string,
): Promise<{ uid: number; gid: number }> {
  return resolveUser(user, await readAccounts(engine, c));
}

async function isPristine(engine: EngineContext, c: ContainerRecord): Promise<boolean> {
  if (c.mounts.some(({ Destination }) => /^\/etc(\/(passwd|group))?$/.test(Destination))) {
    return false;
  }
  const rootfs = engine.storage.snapshots.get(c.id);
  if (rootfs?.kind !== "overlay") return false;
  if (rootfs.disk) return false;
  return stat(`${rootfs.upperDir}/etc`).then(
    () => false,
    () => true,
  );
}

/** The root as the container sees it now. A stopped one is only read: its upper folder serves as
 * one more lower layer, so no overlay is disturbed. */
function currentRoot(engine: EngineContext, c: ContainerRecord): Operation[] {
  if (c.run) {
    return [{ op: "open", path: `/proc/${c.run.pid}/root`, flags: O_PATH_DIRECTORY, to: ROOT }];
  }
  const rootfs = engine.storage.snapshots.get(c.id);
  if (rootfs?.kind !== "overlay") return imageRoot(rootfs);
  return imageRoot({ ...rootfs, lowerDirs: [rootfs.upperDir, ...rootfs.lowerDirs] }, rootfs.disk);
}

/** What the image holds, in slot ROOT. */
function imageRoot(rootfs: RootfsMount | undefined, disk?: DiskImage): Operation[] {
  if (!rootfs) return [];
  if (rootfs.kind === "bind") {
    return [{ op: "open", path: rootfs.path, flags: O_PATH_DIRECTORY, to: ROOT }];
  }
  return mountOverlay({ lowerDirs: rootfs.lowerDirs, ...(disk && { disk }) }, ROOT);
}

async function read(engine: EngineContext, root: Operation[]): Promise<Accounts> {
  const file = (path: string): Operation => ({
    op: "readFile",
    root: ROOT,
    path,
    max: FILE_BYTES_MAX,
    missingOk: true,
  });
  const host = [...root, file("/etc/passwd"), file("/etc/group")];
  const results = await engine.native.run({ host });
  return { passwd: text(results, root.length), group: text(results, root.length + 1) };
}

function text(results: PlanResults, index: number): string {
  return results.has(index) ? new TextDecoder().decode(results.bytes(index)) : "";
}
