// Joins plans of the native program with Node streams: bytes into a plan (unpack) and out of one
// (tar). The plan's own failure is what people want to read, not the broken pipe that follows it.

import type { Duplex } from "node:stream";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errnoOf, GantryError } from "../base/index.ts";
import type { Native, Operation, PlanFailure, PlanResults } from "../native/index.ts";
import { spaceError } from "./content-store.ts";

/** Archives of any size may take their time; a stalled peer is the caller's to abort. */
export const READ_ALL_MS = 24 * 3600 * 1000;

type Rendezvous = { path: string; token: Uint8Array };
type PlanOf = (stream: Rendezvous) => Operation[];

/** Runs the plan with `source` as the content of its stream. */
export async function runWithInput(
  native: Native,
  source: Readable,
  plan: PlanOf,
  { signal }: { signal?: AbortSignal } = {},
): Promise<PlanResults> {
  const rendezvous = openStream(native);
  let sourceError: unknown;
  source.once("error", (error) => (sourceError = error));
  // Attached at once: a failure that comes before anyone awaits must not be "unhandled".
  const run = native.run(
    { host: plan(rendezvous), deadlineMs: READ_ALL_MS },
    signal ? { signal } : {},
  );
  const failed = run.then(
    () => new Promise<never>(() => {}),
    (error) => Promise.reject(error),
  );
  failed.catch(() => {});
  try {
    const stream = await Promise.race([rendezvous.stream, failed]);
    stream.resume(); // nothing comes back; its end must still be seen
    const fed = pipeline(source, stream, signal ? { signal } : {});
    const [outcome, feeding] = await Promise.allSettled([run, fed]);
    if (signal?.aborted) throw signal.reason;
    // A broken pipe is what the plan's own failure does to whoever feeds it.
    if (sourceError !== undefined && !isBrokenPipe(sourceError)) throw sourceError;
    if (outcome.status === "rejected") throw outcome.reason;
    if (feeding.status === "rejected") throw feeding.reason;
    return outcome.value;
  } catch (error) {
    source.destroy();
    await Promise.allSettled([run]);
    throw archiveError(error);
  } finally {
    rendezvous.close();
  }
}

/** A rendezvous whose stream, when the plan dies at once and nobody reads it, is neither left open
 * nor the cause of an unhandled error. */
function openStream(native: Native): Rendezvous & { stream: Promise<Duplex>; close(): void } {
  const { path, token, stream, close } = native.openStream();
  let closed = false;
  let duplex: Duplex | undefined;
  stream.then(
    (connected) => {
      duplex = connected;
      duplex.on("error", () => {});
      if (closed) duplex.destroy();
    },
    () => {}, // never connected: the plan says why
  );
  return {
    path,
    token,
    stream,
    close() {
      closed = true;
      close();
      duplex?.destroy();
    },
  };
}

/** The bytes that the plan writes to its stream. They end only when the plan has succeeded; its
 * failure destroys the stream with the reason. */
export function readOutput(
  native: Native,
  plan: PlanOf,
  { signal }: { signal?: AbortSignal } = {},
): Readable {
  return Readable.from(output(native, plan, signal), {
    objectMode: false,
    highWaterMark: 256 * 1024,
  });
}

async function* output(native: Native, plan: PlanOf, signal?: AbortSignal) {
  const rendezvous = openStream(native);
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const run = native.run({ host: plan(rendezvous), deadlineMs: READ_ALL_MS }, { signal: signals });
  const failed = run.then(
    () => new Promise<never>(() => {}),
    (error) => Promise.reject(error),
  );
  failed.catch(() => {});
  let finished = false;
  try {
    const stream = await Promise.race([rendezvous.stream, failed]);
    stream.end();
    for await (const chunk of stream) yield chunk as Uint8Array;
    await run;
    finished = true;
  } catch (error) {
    throw archiveError(await run.then(() => error).catch((reason) => reason));
  } finally {
    if (!finished) stop.abort();
    rendezvous.close();
  }
}

function isBrokenPipe(error: unknown): boolean {
  const code = errnoOf(error);
  return code === "EPIPE" || code === "ECONNRESET" || code === "ERR_STREAM_PREMATURE_CLOSE";
}

/** Gives an error of an archive its kind, and the native program's own words as its message. */
export function archiveError(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "Z_BUF_ERROR") {
    return new GantryError("corrupt", "unexpected EOF", { cause: error });
  }
  if (typeof code === "string" && /^(Z_|ZSTD_)/.test(code)) {
    const message = `Compressed archive is damaged: ${(error as Error).message}`;
    return new GantryError("corrupt", message, { cause: error });
  }
  if (!(error instanceof GantryError)) return spaceError(error);
  const { errno, text } = error.detail as Partial<PlanFailure>;
  if (errno === "ENOSPC" || errno === "EDQUOT") return spaceError(error);
  if (typeof text !== "string" || text === "") return error;
  if (errno === "EBADMSG") return new GantryError("corrupt", text, { cause: error });
  if (errno === "EXDEV" || errno === "EFBIG" || errno === "EISDIR" || errno === "ENOTDIR") {
    return new GantryError("invalid", text, { cause: error, detail: { errno } });
  }
  const words = errno === undefined ? undefined : KERNEL_WORDS[errno];
  if (words === undefined) return error;
  return new GantryError(error.kind, `${text}: ${words}`, { cause: error, detail: error.detail });
}

/** As the C library says it: what docker's users know. */
const KERNEL_WORDS: Record<string, string> = {
  EACCES: "permission denied",
  EBUSY: "device or resource busy",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  ENOENT: "no such file or directory",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
};
