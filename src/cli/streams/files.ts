// Archives between the daemon and the caller's files or streams.

import { createReadStream, existsSync, lstatSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { Client } from "../../client/index.ts";
import { callerPath, type Io, writeAll } from "../io.ts";
import type { Session } from "../session.ts";
import { shown } from "./transfer.ts";

/** Writes a stream to stdout, or to a file that appears only when it is whole. */
export async function saveStream(
  session: Session,
  output: string,
  verb: string,
  source: (client: Client) => Promise<AsyncIterable<Buffer>>,
): Promise<void> {
  const { io } = session;
  if (output === "" && io.stdout.isTerminal) {
    throw new GantryError(
      "invalid",
      `cowardly refusing to ${verb} to a terminal. Use the -o flag or redirect`,
    );
  }
  const path = output === "" ? undefined : callerPath(io, output);
  if (path) checkOutput(path, output, verb);
  const client = await session.client();
  const bytes = await source(client);
  if (!path) {
    for await (const chunk of bytes) await writeAll(io.stdout, chunk);
    return;
  }
  const body = shown(io.stderr, bytes, { verb: verb === "save" ? "Saving" : "Exporting" });
  if (existsSync(path) && !lstatSync(path).isFile()) {
    const file = await open(path, "w");
    for await (const chunk of body) await file.write(chunk);
    await file.close();
    return;
  }
  const temporary = `${path}.tmp-${process.pid}`;
  const file = await open(temporary, "wx", 0o600);
  try {
    for await (const chunk of body) await file.write(chunk);
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

function checkOutput(path: string, shown: string, verb: string): void {
  const folder = dirname(path);
  if (!existsSync(folder)) {
    throw new GantryError(
      "invalid",
      `failed to ${verb} ${verb === "save" ? "image" : "container"}: invalid output path: directory "${dirname(shown)}" does not exist`,
    );
  }
  if (existsSync(path) && lstatSync(path).isDirectory()) {
    throw new GantryError(
      "invalid",
      `failed to ${verb}: invalid output path: "${shown}" is a directory`,
    );
  }
}

/** As readSource, showing on a terminal how far it is. */
export function shownSource(io: Io, name: string, verb: string): AsyncGenerator<Buffer> {
  const path = callerPath(io, name);
  const isFile = name !== "-" && name !== "";
  const total = isFile ? statSync(path, { throwIfNoEntry: false })?.size : undefined;
  return shown(io.stderr, readSource(io, name), { verb, total });
}

/** The bytes of a file of the caller, or of stdin for "-". */
export async function* readSource(io: Io, name: string): AsyncGenerator<Buffer> {
  if (name === "-" || name === "") {
    yield* io.stdin.open() as AsyncIterable<Buffer>;
    return;
  }
  try {
    yield* createReadStream(callerPath(io, name), {
      highWaterMark: 1 << 20,
    }) as AsyncIterable<Buffer>;
  } catch (error) {
    throw fileError(name, error);
  }
}

export function fileError(name: string, error: unknown): GantryError {
  const errno = errnoOf(error);
  const why =
    errno === "ENOENT"
      ? "no such file or directory"
      : errno === "EACCES"
        ? "permission denied"
        : messageOf(error);
  return new GantryError("invalid", `open ${name}: ${why}`, { cause: error });
}
