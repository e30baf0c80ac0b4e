// Putting one blob into a repository: in one request where it is small, else through an upload
// session. A session that is cut is asked how far it came and goes on there; where the registry has
// forgotten it, a new one starts. The digest is computed on the way.

import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import { type BlobFeed, bytesFeed } from "./blob-feed.ts";
import { dropBody } from "./http-exchange.ts";
import { pushScope, type Registry } from "./registry.ts";
import { registryError } from "./registry-error.ts";
import { type RetryOptions, retrying } from "./retrying.ts";
import { chunkBytesFor, mayBeTooLong } from "./upload-rules.ts";

const BYTES = "application/octet-stream";
const redirectsMax = 5;
const cancelDeadlineMs = 5_000;
/** Blobs up to this size travel with the request that opens a session. */
export const singleRequestBytesMax = 64 << 10;

export interface UploadOptions extends RetryOptions {
  onBytes?: (bytes: number) => void;
}
export type Uploaded = { digest: string; size: number };

/** Uploads a blob; returns what it turned out to be. Nothing is left at the registry on failure
 * where it lets sessions be cancelled. */
export async function uploadBlob(
  registry: Registry,
  repository: string,
  feed: BlobFeed,
  options: UploadOptions,
): Promise<Uploaded> {
  const upload = new Upload(registry, repository, feed, options);
  try {
    return await retrying(() => upload.attempt(), options, {
      progress: () => upload.farthest,
      isFinal: () => upload.sourceFailed,
    });
  } catch (error) {
    await upload.cancel();
    throw error;
  }
}

/** One blob on its way, over as many attempts as it takes. */
class Upload {
  /** The most bytes that the registry has confirmed. */
  farthest = 0;
  sourceFailed = false;
  #registry: Registry;
  #repository: string;
  #feed: BlobFeed;
  #options: UploadOptions;
  #scopes: string[];
  #location: URL | undefined;
  /** Attempts to ask for the session's state that failed, in a row. */
  #lost = 0;
  #tokenRenewed = false;
  /** Set when the registry does not take a body in one go. */
  #chunked = false;
  #chunkBytesMin = 0;
  #hash: Hash;
  #hashed = 0;
  #result: Uploaded | undefined;

  constructor(registry: Registry, repository: string, feed: BlobFeed, options: UploadOptions) {
    this.#registry = registry;
    this.#repository = repository;
    this.#feed = feed;
    this.#options = options;
    this.#scopes = [pushScope(repository)];
    this.#hash = createHash(feed.blob?.digest.split(":", 1)[0] ?? "sha256");
  }

  async attempt(): Promise<Uploaded> {
    this.#options.signal.throwIfAborted();
    this.sourceFailed = false;
    const known = this.#result;
    if (known && (await this.#registry.hasBlob(this.#repository, known.digest))) return known;
    let at = 0;
    if (this.#location !== undefined) at = await this.#resumeAt();
    if (this.#location === undefined) {
      const done = await this.#begin();
      if (done !== undefined) return done;
    }
    const { blob } = this.#feed;
    if (this.#chunked || (at > 0 && blob === undefined)) await this.#sendChunks(at);
    else if (blob === undefined) await this.#sendStream();
    else if (at < blob.size || at === 0) return await this.#sendRest(at, blob);
    return await this.#commit(this.#end());
  }

  /** Opens a session, or, for a small blob, does all at once. */
  async #begin(): Promise<Uploaded | undefined> {
    const { blob } = this.#feed;
    if (blob !== undefined && blob.size <= singleRequestBytesMax) {
      const url = uploadsUrl(this.#registry, this.#repository);
      url.searchParams.set("digest", blob.digest);
      const bytes = await gather(this.#body(0));
      const { response, url: at } = await this.#ask("POST", url, bytes);
      const { statusCode = 0 } = response;
      if (statusCode === 201) {
        dropBody(response);
        return this.#end();
      }
      if (statusCode === 202) return this.#takeSession(response.headers, at, response);
      if (![400, 404, 405, 411, 413, 415, 501].includes(statusCode)) {
        throw await registryError(response);
      }
      dropBody(response);
    }
    const url = uploadsUrl(this.#registry, this.#repository);
    const { response, url: at } = await this.#ask("POST", url, Buffer.alloc(0));
    if (response.statusCode !== 202) throw await registryError(response);
    this.#takeSession(response.headers, at, response);
    return undefined;
  }

  #takeSession(
    headers: Record<string, string | string[] | undefined>,
    at: URL,
    response: Parameters<typeof dropBody>[0],
  ): undefined {
    dropBody(response);
    this.#moved(headers, at);
    if (this.#location === undefined) {
      throw new GantryError("internal", "registry gave no Location for an upload");
    }
    this.#chunkBytesMin = Number(headers["oci-chunk-min-length"] ?? 0) || 0;
  }

  /** Every answer may say where the upload goes on. */
  #moved({ location }: Record<string, string | string[] | undefined>, at: URL): void {
    if (typeof location !== "string" || location === "") return;
    try {
      this.#location = new URL(location, at);
    } catch (cause) {
      throw new GantryError("invalid", "registry gave a bad Location for an upload", { cause });
    }
    if (!/^https?:$/.test(this.#location.protocol)) {
      const bad = this.#location.protocol;
      this.#location = undefined;
      throw new GantryError("invalid", `registry gave a Location with unsupported scheme ${bad}`);
    }
  }

  /** Where the session goes on; drops it where the registry does not know it any more. */
  async #resumeAt(): Promise<number> {
    const { response, url } = await this.#status();
    const last = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers["range"] ?? ""))?.[1];
    const known = response.statusCode === 204 || response.statusCode === 200;
    if (known && last !== undefined) {
      dropBody(response);
      this.#moved(response.headers, url);
      const at = Number(last) + 1;
      // "0-0" is what registries also say of nothing.
      if (at > 1 && at <= (this.#feed.blob?.size ?? this.#hashed)) {
        this.farthest = Math.max(this.farthest, at);
        return at;
      }
    } else if ((response.statusCode ?? 0) >= 500) throw await registryError(response);
    else dropBody(response);
    await this.cancel();
    return 0;
  }

  async #status(): ReturnType<Registry["ask"]> {
    try {
      const answer = await this.#registry.ask("GET", this.#location!, { scopes: this.#scopes });
      this.#lost = 0;
      return answer;
    } catch (error) {
      // A registry that moved, or a Location that leads nowhere: the next attempt starts anew.
      if (++this.#lost >= 2) await this.cancel();
      throw error;
    }
  }

  /** The feed's bytes from `at`, hashed as far as they have not been yet. */
  async *#body(at: number): AsyncGenerator<Buffer> {
    let position = at;
    const { onBytes } = this.#options;
    try {
      for await (const chunk of this.#feed.open(at)) {
        const old = Math.max(0, Math.min(this.#hashed - position, chunk.length));
        position += chunk.length;
        if (old < chunk.length) {
          this.#hash.update(old === 0 ? chunk : chunk.subarray(old));
          this.#hashed = position;
        }
        onBytes?.(position);
        yield chunk;
      }
    } catch (error) {
      this.sourceFailed = this.#feed.remote !== true;
      throw error;
    }
    const size = this.#feed.blob?.size ?? position;
    if (position !== size) {
      this.sourceFailed = this.#feed.remote !== true;
      const message = `blob has ${position} bytes, want ${size}`;
      throw new GantryError("corrupt", message, { detail: { cut: true } });
    }
    this.#end();
  }

  /** What the blob is, now that all of it has been read. */
  #end(): Uploaded {
    if (this.#result !== undefined) return this.#result;
    const algorithm = this.#feed.blob?.digest.split(":", 1)[0] ?? "sha256";
    const digest = `${algorithm}:${this.#hash.digest("hex")}`;
    const want = this.#feed.blob?.digest ?? digest;
    if (want !== digest) {
      this.sourceFailed = true;
      throw new GantryError("corrupt", `layer gives blob ${digest}, want ${want}`);
    }
    this.#result = { digest, size: this.#hashed };
    return this.#result;
  }

  /** Content of unknown length in one PATCH, as docker sends it. */
  async #sendStream(): Promise<void> {
    const headers = { "Content-Type": BYTES, "Transfer-Encoding": "chunked" };
    await this.#transfer("PATCH", this.#location!, headers, 0);
  }

  /** Content that is known: the whole in the closing PUT, or what is missing and then the PUT. */
  async #sendRest(at: number, blob: Uploaded): Promise<Uploaded> {
    const length = String(blob.size - at);
    const headers: Record<string, string> = { "Content-Type": BYTES, "Content-Length": length };
    if (at === 0) {
      await this.#transfer("PUT", withDigest(this.#location!, blob.digest), headers, 0);
      return this.#end();
    }
    headers["Content-Range"] = `${at}-${blob.size - 1}`;
    await this.#transfer("PATCH", this.#location!, headers, at);
    return await this.#commit(this.#end());
  }

  async #transfer(
    method: "PATCH" | "PUT",
    to: URL,
    headers: Record<string, string>,
    at: number,
  ): Promise<void> {
    let target = to;
    for (let hop = 0; hop <= redirectsMax; hop++) {
      const body = Readable.from(this.#body(at), { objectMode: false, highWaterMark: 256 << 10 });
      body.on("error", () => {}); // the exchange tells of it
      const sent = { scopes: this.#scopes, headers, body };
      const { response, url } = await this.#registry.ask(method, target, sent).finally(() => {
        body.destroy();
      });
      const { statusCode = 0, headers: answer } = response;
      if ((statusCode === 307 || statusCode === 308) && answer.location) {
        dropBody(response);
        target = new URL(answer.location, url);
        continue;
      }
      if (![200, 201, 202, 204].includes(statusCode)) {
        throw await this.#refused(response);
      }
      dropBody(response);
      if (method === "PATCH") this.#moved(answer, url);
      if (this.#hashed >= (this.#feed.blob?.size ?? 0) && body.readableEnded) return;
      throw new GantryError("unavailable", "registry ended the upload before its blob", {
        detail: { cut: true },
      });
    }
    throw new GantryError("unavailable", `upload stopped after ${redirectsMax} redirects`);
  }

  async #refused(response: Parameters<typeof registryError>[0]): Promise<GantryError> {
    const { statusCode = 0 } = response;
    if (mayBeTooLong(statusCode)) this.#chunked = true;
    const error = await registryError(response);
    if (statusCode !== 401 || this.#tokenRenewed) return error;
    // Tokens are short-lived: asking for the state of the upload fetches another one.
    this.#tokenRenewed = true;
    const detail = { ...error.detail, cut: true };
    return new GantryError(error.kind, error.message, { cause: error, detail });
  }

  /** Pieces with a length and a place, each confirmed before the next. */
  async #sendChunks(start: number): Promise<void> {
    const length = chunkBytesFor(this.#chunkBytesMin);
    let at = start;
    for await (const chunk of pieces(this.#body(start), length)) {
      const { response, url } = await this.#ask("PATCH", this.#location!, chunk, {
        "Content-Range": `${at}-${at + chunk.length - 1}`,
      });
      if (![200, 201, 202, 204].includes(response.statusCode ?? 0)) {
        throw await registryError(response);
      }
      dropBody(response);
      this.#moved(response.headers, url);
      at += chunk.length;
      this.farthest = Math.max(this.farthest, at);
    }
  }

  async #commit(result: Uploaded): Promise<Uploaded> {
    const url = withDigest(this.#location!, result.digest);
    const { response } = await this.#ask("PUT", url, Buffer.alloc(0));
    if (![200, 201, 204].includes(response.statusCode ?? 0)) {
      const error = await registryError(response);
      await this.cancel();
      throw error;
    }
    dropBody(response);
    return result;
  }

  async #ask(method: string, url: URL, body: Buffer, headers: Record<string, string> = {}) {
    return await this.#registry.ask(method, url, {
      scopes: this.#scopes,
      headers: {
        ...(body.length > 0 ? { "Content-Type": BYTES } : {}),
        ...headers,
        "Content-Length": String(body.length),
      },
      body,
    });
  }

  /** Ends the session if one is open; what the registry says to that is of no interest. */
  async cancel(): Promise<void> {
    const location = this.#location;
    this.#location = undefined;
    if (location !== undefined) await cancelSession(this.#registry, this.#repository, location);
  }
}

export async function cancelSession(
  registry: Registry,
  repository: string,
  at: URL,
): Promise<void> {
  try {
    const own = registry.withSignal(AbortSignal.timeout(cancelDeadlineMs));
    const { response } = await own.ask("DELETE", at, { scopes: [pushScope(repository)] });
    dropBody(response);
  } catch {
    // The registry lets its sessions expire.
  }
}

function withDigest(location: URL, digest: string): URL {
  const url = new URL(location);
  url.searchParams.set("digest", digest);
  return url;
}

export function uploadsUrl(registry: Registry, repository: string): URL {
  return registry.url(`/v2/${repository}/blobs/uploads/`);
}

async function gather(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks));
}

/** Joins and cuts: pieces of `length` bytes, the last one shorter. */
async function* pieces(source: AsyncIterable<Buffer>, length: number): AsyncGenerator<Buffer> {
  let piece = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + length - filled);
      piece.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < length) continue;
      yield piece;
      piece = Buffer.allocUnsafeSlow(length);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** Uploads bytes that are at hand. */
export async function putBlob(
  registry: Registry,
  repository: string,
  digest: string,
  bytes: Uint8Array,
  options: UploadOptions,
): Promise<void> {
  await uploadBlob(registry, repository, bytesFeed(bytes, digest), options);
}
