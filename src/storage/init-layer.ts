// The init layer: what docker puts over an image so that mount points exist (/etc/hosts,
// /etc/resolv.conf, /dev/console …) and /.dockerenv is there, without `docker diff` showing it.
// It is made by mounting an overlay over the image's layers and touching the files, so that the
// kernel copies the folders' owners and modes up; and it is made once an image, not once a
// container, since it is always the same.

import { chmod, chown, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../base/index.ts";
import type { Native, Operation, PlanFailure } from "../native/index.ts";
import { O } from "./archive-flags.ts";
import { mountOverlay } from "./overlay-mount.ts";

/** Replaced by empty files, whatever the image has there: they are mounted over, and a symlink
 * would lead the mount elsewhere. Modes as docker's. */
const FILES = ["/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
const FOLDERS = ["/dev/pts", "/dev/shm", "/proc", "/sys"];
const MTAB = "/etc/mtab";

/** Makes `target`/fs over `lowerDirs`; `scratch` is a folder that is deleted afterwards. */
export async function makeInitLayer(
  native: Native,
  lowerDirs: readonly string[],
  target: string,
  scratch: string,
): Promise<void> {
  const keep = new Set<string>();
  for (;;) {
    const upper = join(scratch, "fs");
    const work = join(scratch, "work");
    await mkdir(work, { recursive: true, mode: 0o700 });
    await makeLike(upper, lowerDirs[0]);
    const plan = initPlan(lowerDirs, upper, work, keep);
    try {
      await native.run({ host: plan });
      await rename(upper, join(target, "fs"));
      return;
    } catch (error) {
      // A folder where docker has a file stays: leave that name out and start again.
      const stuck = folderInTheWay(error);
      if (stuck === undefined || keep.has(stuck)) throw error;
      keep.add(stuck);
    } finally {
      await native.run({ host: [{ op: "removeTree", path: scratch, missingOk: true }] });
    }
  }
}

/** Makes a folder with the owner and mode of another: the root of the merged view shows them. */
export async function makeLike(path: string, model: string | undefined): Promise<void> {
  const like = model === undefined ? undefined : await stat(model);
  await mkdir(path, { mode: 0o755 });
  if (like === undefined) return;
  if (like.uid !== 0 || like.gid !== 0) await chown(path, like.uid, like.gid);
  if ((like.mode & 0o7777) !== 0o755) await chmod(path, like.mode & 0o7777);
}

function initPlan(
  lowerDirs: readonly string[],
  upper: string,
  work: string,
  keep: ReadonlySet<string>,
): Operation[] {
  // volatile: no sync of the whole disk when this mount goes; the row is written after.
  const view = { lowerDirs, upperDir: upper, workDir: work, volatile: true };
  const merged: Operation[] =
    lowerDirs.length === 0
      ? [{ op: "open", path: upper, flags: O.path | O.directory, to: 0 }]
      : mountOverlay(view, 0);
  const stubs = FILES.filter((path) => !keep.has(path));
  const unlinked = keep.has(MTAB) ? stubs : [...stubs, MTAB];
  return [
    ...merged,
    ...unlinked.map((path): Operation => ({ op: "unlink", root: 0, path, missingOk: true })),
    ...["/etc", "/dev", ...FOLDERS].map(
      (path): Operation => ({ op: "mkdirs", root: 0, path, mode: 0o755 }),
    ),
    ...stubs.map((path): Operation => ({ op: "touch", root: 0, path, mode: 0o755 })),
    ...(keep.has(MTAB)
      ? []
      : [{ op: "symlink", root: 0, target: "/proc/mounts", path: MTAB } satisfies Operation]),
  ];
}

function folderInTheWay(error: unknown): string | undefined {
  if (!(error instanceof GantryError)) return undefined;
  const { operation } = error.detail as Partial<PlanFailure>;
  const errno = errnoOf(error);
  if (errno !== "EISDIR" && errno !== "EPERM") return undefined;
  return operation?.op === "unlink" ? operation.path : undefined;
}
