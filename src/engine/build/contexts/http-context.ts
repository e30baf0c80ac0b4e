// A context at an http(s) address: a tar or a Dockerfile. What a server gave with an ETag or a date
// is kept, and asked for again only where it changed. The address is the client's choice, as it may
// choose what a RUN fetches.

import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { GantryError, messageOf, writeFileAtomic } from "../../../base/index.ts";
import { dropBody } from "../../../distribution/index.ts";
import type { EngineContext } from "../../context.ts";
import type { Material } from "../job.ts";
import type { Workspace } from "../workspace.ts";
import { withoutUser } from "./git-source.ts";
import type { IndexedContext } from "./index-files.ts";
import type { ContextStore } from "./store.ts";
import { streamContext } from "./stream-context.ts";

export interface HttpPlace {
  engine: EngineContext;
  workspace: Workspace;
  store: ContextStore;
}
interface Kept {
  etag?: string;
  modified?: string;
  digest: string;
  size: number;
}
const BYTES_MAX = 64 * 2 ** 30;

export async function httpContext(
  place: HttpPlace,
  url: string,
  { signal, received }: { signal: AbortSignal; received?: (bytes: number) => void },
): Promise<IndexedContext & { material: Material }> {
  const shown = withoutUser(url);
  const taken = await place.store.takeFolder("source.http", [url], `http url ${shown}`);
  let size: number | undefined;
  try {
    return await taken.exclusive(signal, async () => {
      const kept = await fetchInto(place, taken.dir, url, {
        signal,
        ...(received && { received }),
      });
      size = kept.size;
      const bytes = createReadStream(join(taken.dir, "body"), { highWaterMark: 1 << 20 });
      const context = await streamContext(place, bytes, { signal });
      return { ...context, material: { uri: shown, digest: { sha256: kept.digest } } };
    });
  } finally {
    await taken.release(size);
  }
}

async function fetchInto(
  place: HttpPlace,
  dir: string,
  url: string,
  { signal, received }: { signal: AbortSignal; received?: (bytes: number) => void },
): Promise<Kept> {
  const body = join(dir, "body");
  const known = await readKept(dir);
  const response = await ask(place, url, known, signal);
  const { statusCode = 0, statusMessage = "" } = response;
  const isKept = statusCode === 304 && known !== undefined;
  if (isKept || statusCode < 200 || statusCode > 299) dropBody(response);
  if (isKept) return known;
  if (statusCode < 200 || statusCode > 299) {
    const status = `${statusCode} ${statusMessage}`.trim();
    const message = `failed to load the build context: GET ${withoutUser(url)}: ${status}`;
    throw new GantryError("invalid", message);
  }
  await rm(join(dir, "facts"), { force: true });
  const hash = createHash("sha256");
  let size = 0;
  response.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    size += chunk.length;
    received?.(chunk.length);
    if (size > BYTES_MAX)
      response.destroy(new GantryError("invalid", "the build context is too large"));
  });
  const partial = join(dir, "partial");
  await pipeline(response, createWriteStream(partial, { mode: 0o600, flush: true }), { signal });
  await rename(partial, body);
  const etag = response.headers.etag;
  const modified = response.headers["last-modified"];
  const kept: Kept = {
    ...(etag && { etag }),
    ...(modified && { modified }),
    ...{ digest: hash.digest("hex"), size },
  };
  await writeFileAtomic(join(dir, "facts"), JSON.stringify(kept));
  return kept;
}

/** What is here whole; undefined where nothing is. */
async function readKept(dir: string): Promise<Kept | undefined> {
  try {
    const kept = JSON.parse(await readFile(join(dir, "facts"), "utf8")) as Kept;
    const { size } = await stat(join(dir, "body"));
    return size === kept.size ? kept : undefined;
  } catch {
    return undefined;
  }
}

async function ask(
  { engine }: HttpPlace,
  url: string,
  known: Kept | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const address = URL.parse(url);
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw new GantryError("invalid", `invalid address of a build context: ${withoutUser(url)}`);
  }
  const { username, password } = address;
  address.username = "";
  address.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const headers = {
    ...(known?.etag && { "if-none-match": known.etag }),
    ...(known?.modified && { "if-modified-since": known.modified }),
    ...(username && { authorization: `Basic ${Buffer.from(pair).toString("base64")}` }),
  };
  try {
    return await engine.registries.get(address, { signal, headers });
  } catch (cause) {
    signal.throwIfAborted();
    const why = withoutUser(messageOf(cause));
    const message = `failed to load the build context: cannot fetch ${withoutUser(url)}: ${why}`;
    throw new GantryError("invalid", message, { cause });
  }
}
