// `cp`: docker's rules for where a copy lands. A source folder goes into an existing folder or
// becomes a new one; "/." at its end means its content; a file replaces a file.

import { statSync } from "node:fs";
import { basename, dirname, isAbsolute, posix } from "node:path";
import { GantryError, humanSize } from "../../base/index.ts";
import type { Client } from "../../client/index.ts";
import { segment } from "../commands/each.ts";
import { callerPath, writeAll } from "../io.ts";
import type { Session } from "../session.ts";
import { extractTar } from "./extract.ts";
import { packPath } from "./pack.ts";

export interface CopyOptions {
  archive: boolean;
  followLink: boolean;
  quiet: boolean;
}
interface PathStat {
  name: string;
  size: number;
  mode: number;
  linkTarget: string;
}

const GO_MODE_DIR = 2 ** 31;
const GO_MODE_SYMLINK = 2 ** 27;
const isDirMode = (mode: number) => mode >= GO_MODE_DIR;
const isLinkMode = (mode: number) => Math.floor(mode / GO_MODE_SYMLINK) % 2 === 1;

/** "name:/path" names a container, a path with a leading slash or dot does not. */
export function splitLocation(text: string): { container?: string; path: string } {
  if (text === "-" || isAbsolute(text)) return { path: text };
  const colon = text.indexOf(":");
  if (colon < 0 || text.startsWith(".")) return { path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

const assertsFolder = (path: string) => /(^|\/)\.?$/.test(path);
const copiesContent = (path: string) => /(^|\/)\.$/.test(path);

async function statIn(
  client: Client,
  container: string,
  path: string,
): Promise<PathStat | undefined> {
  try {
    const { headers, body } = await client.call(
      "HEAD",
      `/containers/${segment(container)}/archive`,
      {
        query: { path },
      },
    );
    for await (const _ of body);
    return decodeStat(headers["x-docker-container-path-stat"]);
  } catch (error) {
    if (error instanceof GantryError && error.detail["status"] === 404) return undefined;
    throw error;
  }
}

function decodeStat(header: string | undefined): PathStat {
  if (header === undefined) throw new GantryError("invalid", "The daemon sent no path statistics");
  return JSON.parse(Buffer.from(header, "base64").toString()) as PathStat;
}

/** A link's target as an absolute path of the container. */
function linkTarget(path: string, stat: PathStat): string {
  return isAbsolute(stat.linkTarget)
    ? stat.linkTarget
    : posix.join(posix.dirname(path), stat.linkTarget);
}

export async function copyFromContainer(
  session: Session,
  container: string,
  source: string,
  target: string,
  { followLink, quiet }: CopyOptions,
): Promise<void> {
  const { io } = session;
  const client = await session.client();
  let path = source;
  let rename: string | undefined;
  if (followLink) {
    const stat = await statIn(client, container, source);
    if (stat && isLinkMode(stat.mode)) {
      path = linkTarget(source, stat);
      rename = basename(source);
    }
  }
  const { headers, body } = await client.call("GET", `/containers/${segment(container)}/archive`, {
    query: { path },
    signal: io.signal,
  });
  if (target === "-") {
    for await (const chunk of body) await writeAll(io.stdout, chunk);
    return;
  }
  const stat = decodeStat(headers["x-docker-container-path-stat"]);
  const local = callerPath(io, target) + (assertsFolder(target) ? "/" : "");
  const place = placeOf(
    { path: rename ?? path, isDir: isDirMode(stat.mode) },
    { path: local, ...localKind(local) },
  );
  const from = basename(path) || stat.name;
  const name = place.name ?? (rename !== undefined && rename !== from ? rename : undefined);
  const size = await extractTar(
    body,
    place.folder,
    name === undefined ? undefined : { from, to: name },
  );
  report(session, quiet, size, target);
}

export async function copyToContainer(
  session: Session,
  source: string,
  container: string,
  target: string,
  { archive, followLink, quiet }: CopyOptions,
): Promise<void> {
  const { io } = session;
  const client = await session.client();
  const query = { noOverwriteDirNonDir: true, copyUIDGID: archive || undefined };
  let path = target;
  let stat = await statIn(client, container, path);
  if (stat && isLinkMode(stat.mode)) {
    path = linkTarget(path, stat);
    stat = await statIn(client, container, path);
  }
  const put = (folder: string, content: AsyncIterable<Uint8Array>) =>
    client.empty("PUT", `/containers/${segment(container)}/archive`, {
      query: { ...query, path: folder },
      body: content,
      contentType: "application/x-tar",
      signal: io.signal,
    });
  if (source === "-") {
    if (!stat || !isDirMode(stat.mode)) {
      throw new GantryError("invalid", `destination "${container}:${target}" must be a directory`);
    }
    await put(path, io.stdin.open() as AsyncIterable<Buffer>);
    return;
  }
  const local = callerPath(io, source);
  const { exists, isDir } = localKind(local);
  if (!exists) {
    throw new GantryError("not-found", `lstat ${local}: no such file or directory`);
  }
  const content = copiesContent(source);
  const place = placeOf(
    { path: content ? `${local}/.` : local, isDir },
    { path, exists: stat !== undefined, isDir: stat !== undefined && isDirMode(stat.mode) },
  );
  const counted = { bytes: 0 };
  await put(
    place.folder,
    packPath(local, content && !place.name ? "." : (place.name ?? basename(local)), {
      followLink: followLink || assertsFolder(source),
      counted,
    }),
  );
  report(session, quiet, counted.bytes, `${container}:${target}`);
}

function localKind(path: string): { exists: boolean; isDir: boolean } {
  try {
    return { exists: true, isDir: statSync(path).isDirectory() };
  } catch {
    return { exists: false, isDir: false };
  }
}

/** The folder to unpack in, and the name that the archive's first component must get. */
function placeOf(
  source: { path: string; isDir: boolean },
  target: { path: string; exists: boolean; isDir: boolean },
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

function report(session: Session, quiet: boolean, bytes: number, target: string): void {
  if (quiet || !session.io.stdout.isTerminal) return;
  session.warn(`Successfully copied ${humanSize(bytes)} to ${target}`);
}
