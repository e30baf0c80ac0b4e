// Runs a program of the host for bootstrap (apt-get, dpkg-deb): its lines as they come, its output
// whole, and on failure what it said last.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { errnoOf, GantryError } from "../../base/index.ts";

const LAST_LINES_MAX = 12;
/** The largest package of any distribution's base unpacks to a tenth of this. */
const OUTPUT_BYTES_MAX = 1 << 30;

export type CommandOptions = { env?: Record<string, string>; cwd?: string; signal?: AbortSignal };

function start(command: readonly string[], { env, cwd, signal }: CommandOptions) {
  const [file = "", ...args] = command;
  return spawn(file, args, {
    env: { ...process.env, LC_ALL: "C", ...env },
    ...(cwd ? { cwd } : {}),
    ...(signal ? { signal } : {}),
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function ended(
  child: ReturnType<typeof start>,
  command: readonly string[],
  said: () => string,
  signal?: AbortSignal,
): Promise<void> {
  try {
    const [code, killedBy] = (await once(child, "close")) as [number | null, string | null];
    if (code === 0) return;
    const how = killedBy ? `was ended by ${killedBy}` : `failed with exit code ${code}`;
    throw new GantryError("internal", `${command[0]} ${how}: ${said()}`);
  } catch (error) {
    signal?.throwIfAborted();
    if (errnoOf(error) !== "ENOENT") throw error;
    const message = `${command[0]} is not on this machine: bootstrap needs the tools of apt and dpkg`;
    throw new GantryError("not-implemented", message, { cause: error });
  }
}

/** The lines of both outputs, as they come. */
export async function* linesOf(
  command: readonly string[],
  options: CommandOptions = {},
): AsyncGenerator<string> {
  const child = start(command, options);
  const both = new PassThrough();
  for (const stream of [child.stdout, child.stderr]) stream.pipe(both, { end: false });
  const last: string[] = [];
  const done = ended(child, command, () => last.join(" "), options.signal);
  done.catch(() => {});
  child.once("close", () => both.end());
  child.once("error", () => both.end());
  try {
    for await (const line of createInterface({
      input: both,
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      last.push(line);
      if (last.length > LAST_LINES_MAX) last.shift();
      yield line;
    }
    await done;
  } finally {
    child.kill();
  }
}

/** The whole output. */
export async function outputOf(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<Buffer> {
  const child = start(command, options);
  const chunks: Buffer[] = [];
  let size = 0;
  let complaint = "";
  child.stderr.on("data", (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-2000);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > OUTPUT_BYTES_MAX) child.kill();
    else chunks.push(chunk);
  });
  await ended(child, command, () => complaint.trim(), options.signal);
  return Buffer.concat(chunks);
}
