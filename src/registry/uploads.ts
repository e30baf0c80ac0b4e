// Uploads as the registry means them: bytes are hashed while they arrive, so that finishing one
// reads nothing again. The hash is in memory only as a shortcut: when another process took part, or
// this one was restarted, or a connection broke between hashing and writing, the store's bytes are
// hashed instead.

import { createHash, type Hash, randomUUID } from "node:crypto";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { kindOf } from "../base/index.ts";
import type { BlobFacts, ObjectStore } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { type Algorithm, algorithmOf, digestSoFar } from "./names.ts";
import { blobPath, layerLink, uploadPath } from "./storage-paths.ts";

/** Uploads whose hash is remembered; the least recent is hashed again. */
const hashesMax = 1_000;
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface RunningHash {
  algorithm: Algorithm;
  hash: Hash;
  size: number; // bytes
}

export class Uploads {
  readonly #store: ObjectStore;
  readonly #hashes = new Map<string, RunningHash>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async start(name: string, algorithm: Algorithm = "sha256"): Promise<string> {
    const id = randomUUID();
    const upload = uploadPath(name, id);
    await this.#store.appendTo(upload, 0, emptyStream());
    this.#remember(upload, { algorithm, hash: createHash(algorithm), size: 0 });
    return id;
  }

  async size(name: string, id: string): Promise<number> {
    const size = ID.test(id) ? await this.#store.uploadSize(uploadPath(name, id)) : undefined;
    if (size === undefined) throw unknown(id);
    return size;
  }

  async append(name: string, id: string, offset: number, bytes: Readable): Promise<number> {
    bytes.on("error", ignore); // also when it breaks before anybody reads it
    const size = await this.size(name, id);
    if (offset !== size) throw outOfOrder(offset, size);
    const upload = uploadPath(name, id);
    const running = this.#hashes.get(upload);
    this.#hashes.delete(upload); // it belongs to this request now
    const isKnown = running?.size === offset;
    try {
      if (!isKnown) return await this.#store.appendTo(upload, offset, bytes);
      const reached = await this.#store.appendTo(upload, offset, hashing(bytes, running));
      if (running.size === reached) this.#remember(upload, running);
      return reached;
    } catch (error) {
      throw await this.#explain(error, { name, id, offset });
    }
  }

  /** Verifies and publishes. The repository's link is written last: it makes the blob visible. */
  async finish(name: string, id: string, digest: string): Promise<BlobFacts> {
    const size = await this.size(name, id);
    const upload = uploadPath(name, id);
    try {
      const found = await this.#digest(upload, size, algorithmOf(digest));
      if (found !== digest) {
        await this.#store.abortUpload(upload);
        throw new RegistryError(
          "DIGEST_INVALID",
          "provided digest did not match uploaded content",
          {
            detail: { provided: digest, computed: found },
          },
        );
      }
      await this.#store.completeUpload(upload, blobPath(digest), size);
      await this.#store.write(layerLink(name, digest), Buffer.from(digest));
    } catch (error) {
      throw await this.#explain(error, { name, id, offset: size });
    }
    this.#hashes.delete(upload);
    return { digest, size };
  }

  async cancel(name: string, id: string): Promise<void> {
    await this.size(name, id);
    const upload = uploadPath(name, id);
    this.#hashes.delete(upload);
    await this.#store.abortUpload(upload).catch(async (error) => {
      throw await this.#explain(error, { name, id, offset: 0 });
    });
  }

  async #digest(upload: string, size: number, algorithm: Algorithm): Promise<string> {
    const running = this.#hashes.get(upload);
    if (running?.size === size && running.algorithm === algorithm) {
      return digestSoFar(algorithm, running.hash);
    }
    const again: RunningHash = { algorithm, hash: createHash(algorithm), size: 0 };
    await pipeline(await this.#store.openUpload(upload), async (source) => {
      for await (const chunk of source) {
        again.hash.update(chunk as Buffer);
        again.size += (chunk as Buffer).length;
      }
    });
    if (again.size === size) this.#remember(upload, again);
    return digestSoFar(algorithm, again.hash);
  }

  #remember(upload: string, running: RunningHash): void {
    this.#hashes.set(upload, running);
    if (this.#hashes.size > hashesMax) {
      this.#hashes.delete(this.#hashes.keys().next().value!);
    }
  }

  /** The store's words for a client: gone, or in somebody else's hands. */
  async #explain(
    error: unknown,
    { name, id, offset }: { name: string; id: string; offset: number },
  ): Promise<unknown> {
    if (error instanceof RegistryError) return error;
    if (kindOf(error) === "not-found") return unknown(id);
    if (kindOf(error) !== "conflict") return error;
    const size = await this.#store.uploadSize(uploadPath(name, id));
    return size === undefined ? unknown(id) : outOfOrder(offset, size);
  }
}

/** A stream that hashes what passes. */
function hashing(bytes: Readable, running: RunningHash): Readable {
  const tap = new Transform({
    readableHighWaterMark: 256 << 10,
    transform(chunk: Buffer, _encoding, done) {
      running.hash.update(chunk);
      running.size += chunk.length;
      done(null, chunk);
    },
  });
  tap.on("error", ignore);
  bytes.once("error", (error) => tap.destroy(error));
  bytes.once("close", () => {
    if (!bytes.readableEnded) tap.destroy(new Error("the sender left"));
  });
  if (bytes.destroyed && !bytes.readableEnded) tap.destroy(new Error("the sender left"));
  return bytes.pipe(tap);
}

/** A broken stream is its reader's matter; one that was refused has none. */
function ignore(): void {}

function emptyStream(): Readable {
  const empty = new Transform();
  empty.end();
  return empty;
}

function unknown(id: string): RegistryError {
  return new RegistryError("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", {
    detail: { upload: id },
  });
}

/** A chunk that does not begin where the upload ends, or two at once: the client asks where it is
 * and goes on from there. */
export function outOfOrder(offset: number, size: number): RegistryError {
  return new RegistryError(
    "BLOB_UPLOAD_INVALID",
    `the upload has ${size} bytes and takes nothing at ${offset} now`,
    { status: 416, detail: { size, offset }, headers: { Range: rangeOf(size) } },
  );
}

/** How much has arrived, as the Range header says it; Docker's registry has "0-0" for nothing. */
export function rangeOf(size: number): string {
  return `0-${Math.max(0, size - 1)}`;
}
