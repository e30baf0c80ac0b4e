// `cp` in every direction: from containers, into them, and from one into another. Docker knows one
// source and no pattern; here there may be many of both. A pattern is matched by the daemon inside
// the container's root, and a file whose name really is that wins over what it would match.

import { basename } from "node:path";
import { GantryError, humanSize, messageOf } from "../../base/index.ts";
import { callerPath, writeAll } from "../io.ts";
import type { Session } from "../session.ts";
import { shown } from "../streams/transfer.ts";
import { extractTar } from "./extract.ts";
import {
  assertsFolder,
  checkOutputPath,
  copiesContent,
  isPattern,
  type Kind,
  localKind,
  placeOf,
  requireLocal,
} from "./location.ts";
import { packPath } from "./pack.ts";
import { kindOf, RemoteFiles } from "./remote.ts";
import { renameTar } from "./rename-tar.ts";

export interface CopyOptions {
  archive: boolean;
  followLink: boolean;
  quiet: boolean;
}
export interface Location {
  container?: string;
  path: string;
}

/** Where copies go to, looked at once. */
interface Target extends Kind {
  files?: RemoteFiles;
  /** As the copy uses it: absolute here, links followed in a container. */
  path: string;
  shown: string;
}
interface Source {
  files?: RemoteFiles;
  path: string;
}

/** Copies each source; returns the exit code. With several, one that fails does not stop the
 * others. */
export async function copyAll(
  session: Session,
  from: readonly Location[],
  to: Location,
  options: CopyOptions,
): Promise<number> {
  const remote = await remotes(session);
  if (to.container === undefined && to.path !== "-") {
    checkOutputPath(to.path, callerPath(session.io, to.path));
  }
  const sources: Source[] = [];
  for (const location of from) sources.push(...(await findSources(remote, location)));
  const target = await findTarget(session, remote, to);
  if (sources.length === 1) {
    await copyOne(session, sources[0]!, target, options);
    return 0;
  }
  if (!target.isDir) {
    throw new GantryError(
      "invalid",
      `destination ${JSON.stringify(target.shown)} must be a directory`,
    );
  }
  let failed = 0;
  for (const source of sources) {
    await copyOne(session, source, target, options).catch((error: unknown) => {
      if (session.io.signal.aborted) throw error;
      session.warn(messageOf(error));
      failed++;
    });
  }
  return failed === 0 ? 0 : 1;
}

type Remotes = (container: string) => RemoteFiles;

async function remotes(session: Session): Promise<Remotes> {
  const client = await session.client();
  return (container) => new RemoteFiles(client, container, session.io.signal);
}

async function findSources(remote: Remotes, { container, path }: Location): Promise<Source[]> {
  if (container === undefined) return [{ path }];
  const files = remote(container);
  if (!isPattern(path) || (await files.stat(path))) return [{ files, path }];
  return (await files.glob(path)).map((match) => ({ files, path: match }));
}

async function findTarget(session: Session, remote: Remotes, to: Location): Promise<Target> {
  if (to.container !== undefined) {
    const files = remote(to.container);
    const { path, stat } = await files.follow(to.path);
    return { files, path, shown: `${to.container}:${to.path}`, ...kindOf(stat) };
  }
  if (to.path === "-") return { path: "-", shown: "-", exists: false, isDir: false };
  const path = callerPath(session.io, to.path) + (assertsFolder(to.path) ? "/" : "");
  return { path, shown: to.path, ...localKind(path) };
}

async function copyOne(
  session: Session,
  source: Source,
  target: Target,
  options: CopyOptions,
): Promise<void> {
  const bytes = source.files
    ? await copyOut(session, source.files, source.path, target, options)
    : await copyIn(session, source.path, target, options);
  if (bytes === undefined || options.quiet || !session.io.stdout.isTerminal) return;
  session.warn(`Successfully copied ${humanSize(bytes)} to ${target.shown}`);
}

/** Out of a container: to a folder here, to the standard output, or into another container. */
async function copyOut(
  session: Session,
  files: RemoteFiles,
  source: string,
  target: Target,
  { followLink, archive, quiet }: CopyOptions,
): Promise<number | undefined> {
  const path = followLink ? (await files.follow(source)).path : source;
  const { isDir, name: sent, tar } = await files.get(path);
  if (target.path === "-" && !target.files) {
    for await (const chunk of tar) await writeAll(session.io.stdout, chunk);
    return undefined;
  }
  const from = basename(path) || sent;
  const { folder, name = followLink && path !== source ? basename(source) : undefined } = placeOf(
    { isDir },
    target,
  );
  const rename = name === undefined || name === from ? undefined : { from, to: name };
  const bytes = quiet ? tar : shown(session.io.stderr, tar, { verb: "Copying from container" });
  if (!target.files) return await extractTar(bytes as AsyncIterable<Buffer>, folder, rename);
  const counted = { bytes: 0 };
  const stream = rename ? renameTar(bytes, rename.from, rename.to) : bytes;
  await target.files.put(folder, count(stream, counted), archive);
  return counted.bytes;
}

async function* count(
  stream: AsyncIterable<Uint8Array>,
  counted: { bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    counted.bytes += chunk.length;
    yield chunk;
  }
}

async function copyIn(
  session: Session,
  source: string,
  target: Target,
  { archive, followLink, quiet }: CopyOptions,
): Promise<number | undefined> {
  const { io } = session;
  const { files } = target;
  if (!files) throw new GantryError("invalid", "must specify at least one container source");
  if (source === "-") {
    if (!target.isDir) {
      throw new GantryError("invalid", `destination "${target.shown}" must be a directory`);
    }
    await files.put(target.path, io.stdin.open() as AsyncIterable<Buffer>, archive);
    return undefined;
  }
  const local = callerPath(io, source);
  requireLocal(local);
  const content = copiesContent(source);
  const { folder, name } = placeOf({ isDir: localKind(local).isDir }, target);
  const counted = { bytes: 0 };
  const top = content && name === undefined ? "." : (name ?? basename(local));
  const options = { followLink: followLink || assertsFolder(source), counted };
  const packed = packPath(local, top, options);
  const bytes = quiet ? packed : shown(io.stderr, packed, { verb: "Copying to container" });
  await files.put(folder, bytes, archive);
  return counted.bytes;
}
