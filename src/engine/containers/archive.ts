// Copying in and out of containers: the archive endpoints behind `cp`.

import { posix } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { Operation, PlanResults } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import type { PathStat, Signal } from "../contract.ts";
import { timestampOf } from "../timestamps.ts";
import { userOf } from "./accounts.ts";
import { announce } from "./announce.ts";
import { goFileMode, isDirectory } from "./file-mode.ts";
import type { ContainerRecord } from "./record.ts";
import { rootWithMounts, SLOT_ROOT } from "./root-access.ts";

const SLOT_STREAM = 10;
const ARCHIVE_DEADLINE_MS = 24 * 3600 * 1000;
/** native/archive.h: ARCHIVE_CHOWN, ARCHIVE_KEEP_KIND. */
const ARCHIVE_CHOWN = 2;
const ARCHIVE_KEEP_KIND = 4;
const INTS_OF_STAT = 9;

export async function statContainerPath(
  engine: EngineContext,
  ref: string,
  path: string,
): Promise<PathStat> {
  const c = engine.containers.find(ref);
  return await statIn(engine, c, path);
}

async function statIn(
  engine: EngineContext,
  c: ContainerRecord,
  path: string,
  follow = endsInFolder(path),
): Promise<PathStat> {
  const host: Operation[] = [
    ...(await rootWithMounts(engine, c)),
    { op: "statPath", root: SLOT_ROOT, path: absolute(path), follow },
  ];
  const results = await engine.native.run({ host }).catch((error) => {
    throw pathError(error, c, path);
  });
  return parseStat(results, host.length - 1, path);
}

function parseStat(results: PlanResults, index: number, path: string): PathStat {
  const bytes = results.bytes(index);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const int = (n: number): number => Number(view.getBigInt64(n * 8, true));
  const milliseconds = int(6) * 1000 + Math.floor(int(7) / 1e6);
  return {
    name: posix.basename(absolute(path)) || "/",
    size: int(5),
    mode: goFileMode(int(2)),
    mtime: timestampOf(new Date(milliseconds)).replace(
      /\.\d+Z$/,
      `.${String(int(7)).padStart(9, "0")}Z`,
    ),
    linkTarget: new TextDecoder().decode(bytes.subarray(INTS_OF_STAT * 8)).replace(/\0$/, ""),
  };
}

export async function archiveOut(
  engine: EngineContext,
  ref: string,
  path: string,
  { signal }: Signal = {},
): Promise<{ stat: PathStat; tar: Readable }> {
  const c = engine.containers.find(ref);
  const stat = await statIn(engine, c, path);
  const rendezvous = engine.native.openStream();
  const clean = absolute(path);
  const host: Operation[] = [
    { op: "connect", path: rendezvous.path, token: rendezvous.token, to: SLOT_STREAM },
    ...(await rootWithMounts(engine, c)),
    { op: "tar", root: SLOT_ROOT, path: clean, name: nameInArchive(path), to: SLOT_STREAM },
  ];
  const tar = await streamFrom(engine, { host, rendezvous, signal });
  announce(engine, c, "archive-path");
  return { stat, tar };
}

/** Starts the plan in the background and hands over its stream; a failure destroys the stream. */
export async function streamFrom(
  engine: EngineContext,
  o: {
    host: Operation[];
    rendezvous: ReturnType<EngineContext["native"]["openStream"]>;
    signal: AbortSignal | undefined;
  },
): Promise<Duplex> {
  const options = o.signal ? { signal: o.signal } : {};
  const run = engine.native.run({ host: o.host, deadlineMs: ARCHIVE_DEADLINE_MS }, options);
  run.catch(() => {});
  const failed = run.then(() => new Promise<never>(() => {}));
  try {
    const stream = await Promise.race([o.rendezvous.stream, failed]);
    run.catch((error) => stream.destroy(error));
    stream.on("error", () => {});
    return stream;
  } catch (error) {
    o.rendezvous.close();
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
  const c = engine.containers.find(ref);
  const stat = await statIn(engine, c, path, true);
  if (!isDirectory(stat.mode)) {
    throw new GantryError("invalid", "extraction point is not a directory");
  }
  if (!isWritable(c, absolute(path))) {
    throw new GantryError("forbidden", "container rootfs is marked read-only");
  }
  const owner = o.copyUidGid && c.config.User ? await userOf(engine, c, c.config.User) : undefined;
  const rendezvous = engine.native.openStream();
  const host: Operation[] = [
    { op: "connect", path: rendezvous.path, token: rendezvous.token, to: SLOT_STREAM },
    ...(await rootWithMounts(engine, c)),
    {
      op: "untar",
      root: SLOT_ROOT,
      path: absolute(path),
      from: SLOT_STREAM,
      flags: (o.noOverwriteDirNonDir ? ARCHIVE_KEEP_KIND : 0) | (owner ? ARCHIVE_CHOWN : 0),
      ...(owner && { uid: owner.uid, gid: owner.gid }),
    },
  ];
  const run = engine.native.run(
    { host, deadlineMs: ARCHIVE_DEADLINE_MS },
    o.signal ? { signal: o.signal } : {},
  );
  const fed = rendezvous.stream.then((stream) => {
    stream.resume();
    return pipeline(tar, stream, ...(o.signal ? [{ signal: o.signal }] : []));
  });
  fed.catch(() => {});
  try {
    await run;
  } catch (error) {
    tar.resume();
    throw pathError(error, c, path);
  } finally {
    rendezvous.close();
  }
  await fed;
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
    return new GantryError("not-found", `Could not find the file ${path} in container ${c.id}`, {
      cause: error,
    });
  }
  if (errno === "EROFS") {
    return new GantryError("forbidden", "container rootfs is marked read-only", { cause: error });
  }
  return error;
}
