// ADD of a URL: the file is fetched into the build's own folder, mode 0600 and root's, with the
// time that the server gives. The address comes from the Dockerfile, which the client may choose as
// it may choose what a RUN fetches; only http and https are known here. A client may lend a header
// or a token for a host, as secrets named HTTP_AUTH_HEADER_<host> and HTTP_AUTH_TOKEN_<host>; a
// redirect to another host does not get them.

import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, utimes } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { GantryError, messageOf } from "../../base/index.ts";
import { dropBody } from "../../distribution/index.ts";
import type { EngineContext } from "../context.ts";
import type { BuildSession } from "./session.ts";
import type { Workspace } from "./workspace.ts";

interface DownloadPlace {
  engine: Pick<EngineContext, "registries">;
  workspace: Workspace;
  session?: BuildSession | undefined;
}
interface Wanted {
  url: string;
  fileName: string;
  checksum?: string;
}

/** Returns the folder that holds the file. Throws invalid when it is not what was wanted. */
export async function download(
  { engine, workspace, session }: DownloadPlace,
  { url, fileName, checksum }: Wanted,
  { signal }: { signal: AbortSignal },
): Promise<string> {
  const folder = await workspace.scratch();
  const partial = join(await workspace.scratch(), "partial");
  const [algorithm, wanted] = (checksum ?? "sha256:").split(":");
  const hash = createHash(algorithm!);
  const headers = await authorization(session, url, signal);
  const body = await get(engine, url, headers, signal);
  body.on("data", (chunk: Buffer) => hash.update(chunk));
  await pipeline(body, createWriteStream(partial, { flags: "wx", mode: 0o600 }), { signal });
  const digest = hash.digest("hex");
  if (wanted && digest !== wanted) {
    const message = `digest mismatch ${algorithm}:${digest}: ${checksum}`;
    throw new GantryError("invalid", message, { detail: { url } });
  }
  const modified = Date.parse(body.headers["last-modified"] ?? "");
  const time = Number.isNaN(modified) ? new Date(0) : new Date(modified);
  await utimes(partial, time, time);
  await rename(partial, join(folder, fileName));
  return folder;
}

async function authorization(
  session: BuildSession | undefined,
  url: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const { host } = new URL(url);
  const lent = async (name: string) => {
    const bytes = await session?.secret(`${name}_${host}`, { signal });
    return bytes && Buffer.from(bytes).toString("utf8").trim();
  };
  const header = await lent("HTTP_AUTH_HEADER");
  if (header) return { authorization: header };
  const token = await lent("HTTP_AUTH_TOKEN");
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function get(
  { registries }: DownloadPlace["engine"],
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let response: IncomingMessage;
  try {
    response = await registries.get(new URL(url), { headers, signal });
  } catch (cause) {
    signal.throwIfAborted();
    const why = messageOf(cause);
    throw new GantryError("invalid", `ADD failed: cannot fetch ${url}: ${why}`, { cause });
  }
  const { statusCode = 0, statusMessage = "" } = response;
  if (statusCode >= 200 && statusCode < 300) return response;
  dropBody(response);
  const status = `${statusCode} ${statusMessage}`.trim();
  throw new GantryError("invalid", `ADD failed: failed to GET ${url} with status ${status}`);
}
