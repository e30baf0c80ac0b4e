// What the arguments of `cp` mean: which side a path is on, and docker's rules for where a copy
// lands. A source folder goes into an existing folder or becomes a new one; "/." at its end means
// its content; a file replaces a file. Pure but for a look at the caller's own files.

import { lstatSync, type Stats, statSync } from "node:fs";
import { basename, dirname, isAbsolute } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";

/** "name:/path" names a container, a path with a leading slash or dot does not. */
export function splitLocation(text: string): { container?: string; path: string } {
  if (text === "-" || isAbsolute(text)) return { path: text };
  const colon = text.indexOf(":");
  if (colon < 0 || text.startsWith(".")) return { path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

export const assertsFolder = (path: string): boolean => /(^|\/)\.?$/.test(path);
export const copiesContent = (path: string): boolean => /(^|\/)\.$/.test(path);
export const isPattern = (path: string): boolean => /[*?[]/.test(path);

export interface Kind {
  exists: boolean;
  isDir: boolean;
}

export function localKind(path: string): Kind {
  try {
    return { exists: true, isDir: statSync(path).isDirectory() };
  } catch (error) {
    if (errnoOf(error) !== "ENOTDIR") return { exists: false, isDir: false };
    throw new GantryError("invalid", `stat ${path}: not a directory`, { cause: error });
  }
}

/** The local source, or what the kernel says of it, in docker's words. */
export function requireLocal(path: string): void {
  try {
    lstatSync(path);
  } catch (cause) {
    const words = errnoOf(cause) === "ENOTDIR" ? "not a directory" : "no such file or directory";
    let at = path;
    for (let up = dirname(at); up !== at && !exists(up); up = dirname(up)) at = up;
    throw new GantryError("not-found", `lstat ${exists(dirname(at)) ? at : path}: ${words}`, {
      cause,
    });
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Before anything is asked of the daemon: a place that nothing can be written to. */
export function checkOutputPath(shown: string, path: string): void {
  const folder = dirname(path.replace(/(.)\/+\.?$/, "$1"));
  if (!exists(folder)) {
    throw new GantryError(
      "invalid",
      `invalid output path: directory ${JSON.stringify(dirname(shown))} does not exist`,
    );
  }
  let stat: Stats;
  try {
    stat = statSync(path);
  } catch {
    return;
  }
  if (stat.isDirectory() || stat.isFile()) return;
  const device = stat.isBlockDevice() || stat.isCharacterDevice();
  throw new GantryError(
    "invalid",
    `invalid output path: ${JSON.stringify(shown)} must be a directory or a regular file` +
      (device ? ": got a device" : ""),
  );
}

/** The folder to unpack in, and the name that the archive's first component must get. */
export function placeOf(
  source: { isDir: boolean },
  target: Kind & { path: string },
): { folder: string; name?: string } {
  const wantsFolder = assertsFolder(target.path);
  if (target.exists && target.isDir) return { folder: target.path };
  if (target.exists && wantsFolder) throw new GantryError("invalid", "not a directory");
  if (target.exists && source.isDir) throw new GantryError("invalid", "cannot copy directory");
  if (!target.exists && wantsFolder && !source.isDir) {
    throw new GantryError("invalid", "no such directory");
  }
  const clean = target.path.replace(/(\/\.?)+$/, "");
  return { folder: dirname(clean), name: basename(clean) };
}
