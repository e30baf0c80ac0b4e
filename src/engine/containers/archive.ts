// Copying in and out of containers: the archive endpoints behind `cp`.

import { posix } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { FileStat, RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { PathStat, Signal } from "../contract.ts";
import { userOf } from "./accounts.ts";
import { announce } from "./announce.ts";
import { goFileMode, isDirectory } from "./file-mode.ts";
import type { ContainerRecord } from "./record.ts";
import { rootSource } from "./root-source.ts";

export async function statContainerPath(
  engine: EngineContext,
  ref: string,
  path: string,
): Promise<PathStat> {
  const c = engine.containers.find(ref);
  const source = await rootSource(engine, c);
  return await statIn(engine, c, { source, path, follow: endsInFolder(path) });
}

async function statIn(
  engine: EngineContext,
  c: ContainerRecord,
  { source, path, follow }: { source: RootSource; path: string; follow: boolean },
): Promise<PathStat> {
  try {
    return render(await engine.files.stat(source, absolute(path), { follow }), path);
  } catch (error) {
    throw pathError(error, c, path);
  }
}

function render(stat: FileStat, path: string): PathStat {
  const mtime = Temporal.Instant.fromEpochNanoseconds(stat.mtimeNs);
  return {
    name: posix.basename(absolute(path)) || "/",
    size: stat.size,
    mode: goFileMode(stat.mode),
    mtime: mtime.toString(),
    linkTarget: stat.linkTarget,
  };
}

export async function archiveOut(
  engine: EngineContext,
  ref: string,
  path: string,
  { signal }: Signal = {},
): Promise<{ stat: PathStat; tar: Readable }> {
  const c = engine.containers.find(ref);
  const source = await rootSource(engine, c);
  const stat = await statIn(engine, c, { source, path, follow: endsInFolder(path) });
  const tar = engine.files.tar(source, absolute(path), {
    name: nameInArchive(path),
    ...(signal && { signal }),
  });
  announce(engine, c, "archive-path");
  return { stat, tar };
}

/** Commit point: the first entry is written. */
export async function archiveIn(
  engine: EngineContext,
  ref: string,
  path: string,
  tar: Readable,
  o: Signal & { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean } = {},
): Promise<void> {
  const c = engine.containers.find(ref);
  const source = await rootSource(engine, c);
  const stat = await statIn(engine, c, { source, path, follow: true });
  if (!isDirectory(stat.mode)) {
    throw new GantryError("invalid", "extraction point is not a directory");
  }
  if (!isWritable(c, absolute(path))) {
    throw new GantryError("forbidden", "container rootfs is marked read-only");
  }
  const owner = o.copyUidGid && c.config.User ? await userOf(engine, c, c.config.User) : undefined;
  try {
    await engine.files.untar(source, absolute(path), tar, {
      keepKind: o.noOverwriteDirNonDir === true,
      ...(owner && { owner: { uid: owner.uid, gid: owner.gid } }),
      ...(o.signal && { signal: o.signal }),
    });
  } catch (error) {
    throw pathError(error, c, path);
  }
  announce(engine, c, "extract-to-dir");
}

/** Under a read-only root only what lies on a writable volume can be written. */
function isWritable(c: ContainerRecord, path: string): boolean {
  const mount = c.mounts
    .filter((m) => path === m.Destination || path.startsWith(`${m.Destination}/`))
    .sort((a, b) => b.Destination.length - a.Destination.length)[0];
  return mount ? mount.RW : c.hostConfig.ReadonlyRootfs !== true;
}

const absolute = (path: string): string => posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");

/** "dir/" and "dir/." mean what a link at that place points to. */
const endsInFolder = (path: string): boolean => /(^|\/)\.?$/.test(path);

/** Docker names the entries by the last part of what was asked: "." for "dir/.". */
function nameInArchive(path: string): string {
  if (path.endsWith("/.") || path === ".") return ".";
  return posix.basename(absolute(path)) || "/";
}

function pathError(error: unknown, c: ContainerRecord, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === "ENOENT" || errno === "ENOTDIR") {
    const message = `Could not find the file ${path} in container ${c.id}`;
    return new GantryError("not-found", message, { cause: error });
  }
  if (errno === "EROFS") {
    return new GantryError("forbidden", "container rootfs is marked read-only", { cause: error });
  }
  return error;
}
