// Content-addressed blobs: written under a temporary name while their digest is computed, synced,
// then renamed, so that a blob is visible only whole and verified.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { errnoOf, GantryError, KeyedMutex } from "../base/index.ts";
import { digestOf, parseDigest } from "../spec/index.ts";
import type { ContentStore } from "./contract.ts";
import type { StoragePaths } from "./storage-paths.ts";

/** Blobs that are read into memory whole: configs, manifests, indexes. */
export const SMALL_BLOB_BYTES_MAX = 8 << 20;

export class BlobStore implements ContentStore {
  #paths: StoragePaths;
  #mutex = new KeyedMutex();

  constructor(paths: StoragePaths) {
    this.#paths = paths;
  }

  async put(
    source: AsyncIterable<Uint8Array> | Uint8Array,
    expected: { digest?: string; size?: number } = {},
  ): Promise<{ digest: string; size: number }> {
    const temporary = this.#paths.ingestFile();
    const file = await open(temporary, "wx", 0o600);
    try {
      const written = await this.#write(file, source, expected);
      await file.sync();
      await this.#mutex.run(written.digest, () =>
        rename(temporary, this.#paths.blob(written.digest)),
      );
      await syncFolder(this.#paths.blobs);
      return written;
    } catch (error) {
      await rm(temporary, { force: true });
      throw spaceError(error);
    } finally {
      await file.close();
    }
  }

  async #write(
    file: FileHandle,
    source: AsyncIterable<Uint8Array> | Uint8Array,
    expected: { digest?: string; size?: number },
  ): Promise<{ digest: string; size: number }> {
    const hash = createHash("sha256");
    let size = 0;
    const limit = expected.size ?? Number.MAX_SAFE_INTEGER;
    for await (const chunk of source instanceof Uint8Array ? [source] : source) {
      hash.update(chunk);
      size += chunk.length;
      if (size > limit) break;
      await file.writeFile(chunk);
    }
    const digest = `sha256:${hash.digest("hex")}`;
    if (expected.size !== undefined && size !== expected.size) {
      throw new GantryError("corrupt", `Blob has ${size} bytes or more, want ${expected.size}`);
    }
    if (expected.digest !== undefined && digest !== expected.digest) {
      throw new GantryError("corrupt", `Blob has digest ${digest}, want ${expected.digest}`);
    }
    return { digest, size };
  }

  async read(digest: string): Promise<Uint8Array> {
    const data = await readFile(this.#paths.blob(parseDigest(digest))).catch((error) => {
      throw missing(digest, error);
    });
    if (data.length > SMALL_BLOB_BYTES_MAX) {
      throw new GantryError("invalid", `Blob ${digest} has ${data.length} bytes, too many to read`);
    }
    if (digestOf(data) !== digest) {
      throw new GantryError("corrupt", `Blob ${digest} is damaged on disk`);
    }
    return data;
  }

  async open(digest: string): Promise<Readable> {
    const file = await open(this.#paths.blob(parseDigest(digest)), "r").catch((error) => {
      throw missing(digest, error);
    });
    return createReadStream("", { fd: file, highWaterMark: 256 * 1024 });
  }

  async has(digest: string): Promise<boolean> {
    return access(this.#paths.blob(parseDigest(digest))).then(
      () => true,
      () => false,
    );
  }

  /** `unless` is asked when nobody else can be storing the same blob. */
  async remove(digest: string, { unless }: { unless?: () => boolean } = {}): Promise<void> {
    const path = this.#paths.blob(parseDigest(digest));
    await this.#mutex.run(digest, async () => {
      if (!unless?.()) await rm(path, { force: true });
    });
  }
}

function missing(digest: string, cause: unknown): unknown {
  if (errnoOf(cause) !== "ENOENT") return cause;
  return new GantryError("not-found", `No such blob: ${digest}`, { cause });
}

/** A full disk is the user's to repair: say so. */
export function spaceError(error: unknown): unknown {
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT" ? noSpace(error) : error;
}

export function noSpace(cause: unknown): GantryError {
  const message = "No space left on device: free some, for instance with `gantry image prune`";
  return new GantryError("exhausted", message, { cause, detail: { errno: "ENOSPC" } });
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
