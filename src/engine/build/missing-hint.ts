// What was probably meant by a source of COPY that is not there. Only what the Dockerfile names is
// transferred, so the names beside it are asked of the client now, when they are of use.

import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path/posix";
import { didYouMean, type Vertex } from "../../build/index.ts";
import type { ContextSource } from "./job.ts";
import type { BuildSession } from "./session.ts";

const NAMES_MAX = 10_000;
const NOT_FOUND = /: "\/([^"]*)": not found$/;

/** "" where nothing is near, or where the message has a hint or another reason. */
export async function missingHint(
  { operation }: Vertex,
  message: string,
  { source, signal }: { source(name: string): ContextSource; signal: AbortSignal },
): Promise<string> {
  const path = NOT_FOUND.exec(message)?.[1];
  if (path === undefined || operation.kind !== "copy") return "";
  for (const { from, paths } of operation.sources) {
    const isNamed = paths.some(({ written }) => join("/", written) === join("/", path));
    if (from.kind !== "context" || !isNamed) continue;
    const context = source(from.name);
    const names = await namesBeside(context, path, signal).catch(() => []);
    return didYouMean(basename(path), names);
  }
  return "";
}

async function namesBeside(
  source: ContextSource,
  path: string,
  signal: AbortSignal,
): Promise<string[]> {
  const folder = dirname(path) === "." ? "" : dirname(path);
  if (source.kind === "session") return await askClient(source, folder, signal);
  // Only a name is shown, and only one that is like what the client's own file says.
  if (source.kind === "folder" && folder === "") return await readdir(source.path);
  return [];
}

async function askClient(
  { session, name }: { session: BuildSession; name: string },
  folder: string,
  signal: AbortSignal,
): Promise<string[]> {
  const all = join(folder, "*");
  const wish = { name, include: [all], exclude: [join(all, "*")], followPaths: [] };
  await using entries = await session.openFolder(wish, { signal });
  const names: string[] = [];
  for await (const { path } of entries.entries) {
    const isBeside = dirname(path) === (folder === "" ? "." : folder);
    if (isBeside) names.push(basename(path));
    if (names.length >= NAMES_MAX) return names;
  }
  await entries.finish();
  return names;
}
