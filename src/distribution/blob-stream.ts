// A blob as one verified stream of bytes. When the connection breaks, the next request continues
// at the byte where it stopped (Range), so what was unpacked meanwhile is not lost. The stream ends
// well only if size and digest are what the descriptor says.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf, GantryError, kindOf } from "../base/index.ts";
import type { Descriptor } from "./contract.ts";
import { isForeign } from "./media-types.ts";
import type { Registry } from "./registry.ts";

const backoffMs = 250;
const backoffMsMax = 10_000;

export interface BlobSource {
  registry: Registry;
  repository: string;
  blob: Descriptor;
}
export interface ReadOptions {
  attemptsMax: number;
  /** How many bytes have come, without those of broken requests. */
  onBytes?: (bytes: number) => void;
  onRetry?: (attempt: number) => void;
  onVerified?: () => void;
  signal?: AbortSignal;
}

export async function* readBlob(
  source: BlobSource,
  { attemptsMax, onBytes, onRetry, onVerified, signal }: ReadOptions,
): AsyncGenerator<Buffer> {
  const { digest, size } = source.blob;
  const [algorithm = "sha256", hex] = digest.split(":");
  const hash = createHash(algorithm);
  let at = 0;
  for (let attempt = 1; ; attempt++) {
    const before = at;
    try {
      for await (const chunk of await open(source, at)) {
        if (at + chunk.length > size) throw tooLong(digest, size);
        at += chunk.length;
        hash.update(chunk);
        onBytes?.(at);
        yield chunk;
      }
      if (at === size) break;
      throw new GantryError("corrupt", "unexpected EOF", { detail: { cut: true } });
    } catch (error) {
      if (signal?.aborted || !isBroken(error)) throw error;
      if (at > before) attempt = 1;
      if (attempt >= attemptsMax) throw error;
      onRetry?.(attempt);
      const wait = Math.min(backoffMsMax, backoffMs * 2 ** (attempt - 1));
      await delay(wait, undefined, signal ? { signal } : {});
    }
  }
  if (hash.digest("hex") !== hex) {
    throw new GantryError("corrupt", `filesystem layer verification failed for digest ${digest}`);
  }
  onVerified?.();
}

/** The bytes from `at` on, whether the registry knows ranges or not. */
async function* open(source: BlobSource, at: number): AsyncGenerator<Buffer> {
  const { response, offset } = await request(source, at);
  if (offset < 0 || offset > at) {
    response.destroy();
    throw new GantryError("corrupt", `registry answered with a range that was not asked for`);
  }
  let skip = at - offset;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      yield skip === 0 ? chunk : chunk.subarray(skip);
      skip = 0;
    }
  }
}

async function request(
  { registry, repository, blob }: BlobSource,
  at: number,
): Promise<{ response: IncomingMessage; offset: number }> {
  const { urls: _, ...own } = blob;
  try {
    return await registry.blob(repository, own, at);
  } catch (error) {
    if (kindOf(error) !== "not-found" || !isForeign(blob.mediaType) || !blob.urls) throw error;
    return await registry.blob(repository, blob, at);
  }
}

/** Worth another try: the network failed, not the content. */
function isBroken(error: unknown): boolean {
  if (error instanceof GantryError) {
    const { status, cut, errno } = error.detail;
    if (typeof status === "number") return status >= 500;
    return cut === true || error.kind === "timeout" || (errno !== undefined && errno !== "");
  }
  return errnoOf(error) !== undefined;
}

function tooLong(digest: string, size: number): GantryError {
  return new GantryError("corrupt", `blob ${digest} is longer than the ${size} bytes promised`);
}
