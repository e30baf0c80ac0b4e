// Where files are copied to: the destination as the base's links make it, what is there and what is
// missing above it. The native program resolves every path inside the base's root.

import { dirname, join } from "node:path/posix";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { type TarFile, TarScanner } from "./tar-scanner.ts";
import { BLANK, fileHeader } from "./tar-writer.ts";

export interface LookPlace {
  engine: EngineContext;
  signal: AbortSignal;
}
export type Owner = { uid: number; gid: number };

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_ISGID = 0o2000;
const FOLDER_MODE = 0o755;

export interface Target {
  /** Without links, beneath the root. */
  path: string;
  exists: boolean;
  isFolder: boolean;
  /** Folders above it that are not there, outermost first. */
  missing: string[];
  /** Of a folder that hands its group on to what is made in it, and that it does (inode(7)). */
  group?: number;
}

/** Where `destination` leads in the base, through links that are there. */
export async function findTarget(
  { engine, signal }: LookPlace,
  base: RootSource,
  destination: string,
): Promise<Target> {
  const rest: string[] = [];
  let at = destination === "/" ? "/" : destination.replace(/\/+$/, "");
  const look = (path: string, follow: boolean) =>
    engine.files.stat(base, path, { follow, signal }).catch((error) => {
      if (errnoOf(error) === "ENOENT" && path !== "/") return undefined;
      throw destinationError(error, destination);
    });
  for (;;) {
    const stat = await look(at, true);
    if (stat === undefined) {
      // A link to what is not there yet: it is made where the link says.
      const link = await look(at, false);
      if (link?.resolved && link.resolved !== at) {
        at = link.resolved;
        continue;
      }
      rest.unshift(at.slice(at.lastIndexOf("/") + 1));
      at = dirname(at);
      continue;
    }
    const isFolder = (stat.mode & S_IFMT) === S_IFDIR;
    if (rest.length > 0 && !isFolder) throw destinationError(undefined, destination);
    const paths = rest.map((_, index) => join(stat.resolved, ...rest.slice(0, index + 1)));
    const path = paths.pop() ?? stat.resolved;
    const exists = rest.length === 0;
    const group = !exists && (stat.mode & S_ISGID) !== 0 ? { group: stat.gid } : {};
    return { path, exists, isFolder: exists && isFolder, missing: paths, ...group };
  }
}

export function destinationError(cause: unknown, destination: string): unknown {
  const errno = errnoOf(cause);
  if (cause !== undefined && errno !== "ENOTDIR" && errno !== "ELOOP") return cause;
  const why = errno === "ELOOP" ? "too many levels of symbolic links" : "not a directory";
  const message = `cannot copy to ${destination}: ${why}`;
  return new GantryError("invalid", message, cause === undefined ? {} : { cause });
}

/** Where nothing is, what is copied is the layer itself, and is written once instead of twice. The
 * folders above come first, as they are; undefined where something is in the way. */
export async function emptyPlace(
  place: LookPlace,
  base: RootSource,
  target: Target,
): Promise<Buffer[] | undefined> {
  const there = target.exists ? await firstFiles(place, base, target.path, 2) : [];
  if (target.exists && (!target.isFolder || there.length > 1)) return undefined;
  const paths: string[] = [];
  const first = target.exists ? target.path : (target.missing[0] ?? target.path);
  const from = target.exists ? first : dirname(first);
  for (let at = from; at !== "/"; at = dirname(at)) paths.unshift(at);
  const headers: Buffer[] = [];
  for (const path of paths) {
    const [folder] = await firstFiles(place, base, path, 1);
    if (folder?.type !== "5") return undefined;
    headers.push(fileHeader({ ...folder, name: tarName(path) }));
  }
  return headers;
}

/** The first files of a tree; the rest is not read. */
async function firstFiles(
  { engine, signal }: LookPlace,
  source: RootSource,
  path: string,
  count: number,
): Promise<TarFile[]> {
  const found: TarFile[] = [];
  const scanner = new TarScanner({ file: (file) => found.push(file), data: () => {} });
  for await (const chunk of engine.files.tar(source, path, { name: "x", signal })) {
    scanner.push(chunk as Buffer);
    if (found.length >= count) break;
  }
  return found.slice(0, count);
}

/** Mode and owner of folders that are made there. */
export function madeFolder({ group }: Target): Owner & { mode: number } {
  if (group === undefined) return { uid: 0, gid: 0, mode: FOLDER_MODE };
  return { uid: 0, gid: group, mode: FOLDER_MODE | S_ISGID };
}

/** The time of what a step makes itself. */
export const now = () => ({ mtime: String(Math.floor(Date.now() / 1000)) });
export const tarName = (path: string): string => path.replace(/^\/+/, "");

export function folderHeader(path: string, owner: Owner, mode = FOLDER_MODE): Buffer {
  const name = tarName(path);
  return fileHeader({ ...BLANK, name, type: "5", mode, ...owner, ...now() });
}
