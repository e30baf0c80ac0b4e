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
import { openRoot } from "./root-source.ts";

/** What a verb works on: the container, as the caller named it, and its root. */
interface Place {
  engine: EngineContext;
  c: ContainerRecord;
  ref: string;
  source: RootSource;
}

export async function statContainerPath(
  engine: EngineContext,
  ref: string,
  path: string,
): Promise<PathStat> {
  return await withRoot(engine, ref, async (place) => {
    const { stat } = await statIn(place, path, endsInFolder(path));
    return stat;
  });
}

/** The paths that a shell's pattern matches in the container. */
export async function globContainer(
  engine: EngineContext,
  ref: string,
  pattern: string,
  { signal }: Signal = {},
): Promise<string[]> {
  return await withRoot(engine, ref, async ({ source }) => {
    return await engine.files.glob(source, `/${pattern}`, signal ? { signal } : {});
  });
}

async function withRoot<T>(
  engine: EngineContext,
  ref: string,
  work: (place: Place) => Promise<T>,
  o: { held?: boolean } = {},
): Promise<T> {
  const c = engine.containers.find(ref);
  const { source, release } = await openRoot(engine, c, o);
  try {
    return await work({ engine, c, ref, source });
  } finally {
    await release();
  }
}

async function statIn(
  place: Place,
  path: string,
  follow: boolean,
): Promise<{ stat: PathStat; resolved: string }> {
  try {
    const found = await place.engine.files.stat(place.source, absolute(path), { follow });
    if (!isDirectory(goFileMode(found.mode)) && endsInFolder(path)) {
      throw new GantryError("invalid", `lstat ${absolute(path)}/: not a directory`);
    }
    return { stat: render(found, path), resolved: found.resolved };
  } catch (error) {
    throw pathError(error, place, path);
  }
}

function render(stat: FileStat, path: string): PathStat {
  const mtime = Temporal.Instant.fromEpochNanoseconds(stat.mtimeNs);
  return {
    name: nameInArchive(path),
    size: stat.size,
    mode: goFileMode(stat.mode),
    mtime: mtime.toString(),
    linkTarget: stat.linkTarget === "" ? "" : stat.resolved || stat.linkTarget,
  };
}

export async function archiveOut(
  engine: EngineContext,
  ref: string,
  path: string,
  { signal }: Signal = {},
): Promise<{ stat: PathStat; tar: Readable }> {
  const c = engine.containers.find(ref);
  const { source, release } = await openRoot(engine, c);
  try {
    const { stat } = await statIn({ engine, c, ref, source }, path, endsInFolder(path));
    const tar = engine.files.tar(source, absolute(path), {
      name: nameInArchive(path),
      ...(signal && { signal }),
    });
    tar.once("close", () => void release());
    announce(engine, c, "archive-path");
    return { stat, tar };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Commit point: the first entry is written. */
export async function archiveIn(
  engine: EngineContext,
  ref: string,
  path: string,
  tar: Readable,
  o: Signal & { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean } = {},
): Promise<void> {
  const { id } = engine.containers.find(ref);
  const copy = (held: boolean) => {
    const work = async (place: Place) => {
      await extract(place, path, tar, o);
      announce(engine, place.c, "extract-to-dir");
    };
    return withRoot(engine, ref, work, { held });
  };
  // A root that is not mounted yet must not be mounted twice for writing: it waits for the start
  // of its container, and that for the copy, as with docker.
  if (engine.containers.find(ref).run) await copy(false);
  else await engine.transitions.run(id, () => copy(true));
}

async function extract(
  place: Place,
  path: string,
  tar: Readable,
  o: Signal & { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean },
): Promise<void> {
  const { engine, c, source } = place;
  const { stat, resolved } = await statIn(place, path, true);
  if (!isDirectory(stat.mode)) {
    throw new GantryError("invalid", "extraction point is not a directory");
  }
  const refusal = readOnlyAt(c, resolved || absolute(path));
  if (refusal) throw refusal;
  const owner = o.copyUidGid && c.config.User ? await userOf(engine, c, c.config.User) : undefined;
  try {
    await engine.files.untar(source, absolute(path), tar, {
      keepKind: o.noOverwriteDirNonDir === true,
      ...(owner && { owner: { uid: owner.uid, gid: owner.gid } }),
      ...(o.signal && { signal: o.signal }),
    });
  } catch (error) {
    throw pathError(error, place, path, resolved);
  }
}

/** The refusal of a path that is certainly read-only; the kernel says the rest. */
function readOnlyAt(c: ContainerRecord, path: string): GantryError | undefined {
  const mount = mountAt(c, path);
  if (mount) return mount.RW ? undefined : VOLUME_READ_ONLY();
  const tmpfs = Object.keys(c.hostConfig.Tmpfs ?? {}).some((at) => isBeneath(path, at));
  if (c.hostConfig.ReadonlyRootfs !== true || (tmpfs && c.run)) return undefined;
  return ROOT_READ_ONLY();
}

const mountAt = (c: ContainerRecord, path: string) =>
  c.mounts
    .filter((mount) => isBeneath(path, mount.Destination))
    .sort((a, b) => b.Destination.length - a.Destination.length)[0];

const isBeneath = (path: string, folder: string): boolean =>
  folder === "/" || path === folder || path.startsWith(`${folder}/`);

const ROOT_READ_ONLY = () => new GantryError("forbidden", "container rootfs is marked read-only");
const VOLUME_READ_ONLY = () => new GantryError("forbidden", "mounted volume is marked read-only");

const absolute = (path: string): string => posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");

/** "dir/" and "dir/." mean what a link at that place points to. */
const endsInFolder = (path: string): boolean => /(^|\/)\.?$/.test(path);

/** Docker names the entries by the last part of what was asked: "." for "dir/.". */
function nameInArchive(path: string): string {
  if (path.endsWith("/.") || path === ".") return ".";
  return posix.basename(absolute(path)) || "/";
}

function pathError(error: unknown, { c, ref }: Place, path: string, resolved?: string): unknown {
  const errno = errnoOf(error);
  if (errno === "ENOENT") {
    const message = `Could not find the file ${path} in container ${ref}`;
    return new GantryError("not-found", message, { cause: error });
  }
  if (errno === "ENOTDIR" && resolved === undefined) {
    const message = `lstat ${path}: not a directory`;
    return new GantryError("invalid", message, { cause: error });
  }
  if (errno === "ESRCH") {
    const message = `Container ${c.id} has stopped meanwhile: try again`;
    return new GantryError("conflict", message, { cause: error });
  }
  if (errno === "EROFS") return readOnlyAt(c, resolved ?? path) ?? ROOT_READ_ONLY();
  return error;
}
