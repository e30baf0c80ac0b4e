// What may be tried again during an upload or for a document, after what wait, and in what pieces a
// registry gets a blob that it does not take whole. Pure.

import { errnoOf, GantryError } from "../base/index.ts";

const chunkBytes = 8 << 20;
/** A chunk is held in memory. */
const chunkBytesMax = 64 << 20;
const DELAYS_MS = [250, 1_000, 4_000, 10_000];
const retryAfterSecondsMax = 60;

/** Answers about the registry or the session, not about us or the blob. */
const AGAIN_CODES = new Set([
  ...["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID"],
  "DIGEST_INVALID", // bytes may have been hit on the way
]);
const NEVER_CODES = new Set(["DENIED", "UNSUPPORTED", "NAME_UNKNOWN", "NAME_INVALID"]);

export function isWorthARetry(error: unknown): boolean {
  if (!(error instanceof GantryError)) return errnoOf(error) !== undefined;
  const { status, code, cut, errno } = error.detail;
  if (typeof status === "number") {
    if (NEVER_CODES.has(String(code))) return false;
    if (status >= 500 || [408, 411, 413, 416, 429].includes(status)) return true;
    return cut === true || AGAIN_CODES.has(String(code));
  }
  return cut === true || error.kind === "timeout" || (errno !== undefined && errno !== "");
}

/** Whether a document is worth asking for once more, of a registry that answers, but not well: it
 * (or what stands before it) is just being restarted. That nobody listens is told at once, and so
 * is a wait that the registry has asked for. */
export function isHiccup(error: unknown): boolean {
  const { status, retryAfter, errno } = error instanceof GantryError ? error.detail : {};
  if (typeof status === "number") {
    return [500, 502, 503, 504].includes(status) && retryAfter === undefined;
  }
  return ["ECONNRESET", "EPIPE"].includes(String(errno ?? errnoOf(error)));
}

/** Milliseconds to wait after the n-th failure in a row. */
export function retryDelayMs(
  error: unknown,
  failures: number,
  delaysMs: readonly number[] = DELAYS_MS,
): number {
  const told = error instanceof GantryError ? Number(error.detail["retryAfter"]) : Number.NaN;
  if (told >= 0 && told <= retryAfterSecondsMax) return told * 1000;
  return delaysMs[Math.min(failures, delaysMs.length) - 1] ?? 0;
}

/** Whether smaller pieces, or such with a length, may do better. */
export function mayBeTooLong(status: number): boolean {
  return [405, 411, 413, 415, 416, 501].includes(status);
}

/** The bytes of a chunk, for a registry that wants `min` at least. Throws when that is too much. */
export function chunkBytesFor(min: number): number {
  if (min > chunkBytesMax) {
    const message = `registry wants chunks of ${min} bytes, more than ${chunkBytesMax}`;
    throw new GantryError("not-implemented", message);
  }
  return Math.max(chunkBytes, min);
}
