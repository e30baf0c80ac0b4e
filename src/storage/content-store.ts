// Content-addressed blobs: written under a temporary name while their digest is computed, synced,
// then renamed, so that a blob is visible only whole and verified.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  access,
  type FileHandle,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { errnoOf, GantryError, KeyedMutex } from "../base/index.ts";
import { algorithmOf, digestOf, isDigest, parseDigest } from "../spec/index.ts";
import type { ContentStore } from "./contract.ts";
import { BLOB_ALGORITHMS, type StoragePaths } from "./storage-paths.ts";

/** Blobs that are read into memory whole: configs, manifests, indexes. */
export const SMALL_BLOB_BYTES_MAX = 8 << 20;
const READ_BYTES = 256 * 1024;
/** Enough to see a pattern; the disk may be large, a broken one must not be filled. */
const damagedBlobsMax = 16;

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
    if (expected.digest !== undefined) parseDigest(expected.digest);
    const temporary = this.#paths.ingestFile();
    const file = await open(temporary, "wx", 0o600);
    try {
      const written = await this.#write(file, source, expected);
      await file.sync();
      await this.#mutex.run(written.digest, () =>
        rename(temporary, this.#paths.blob(written.digest)),
      );
      await syncFolder(this.#paths.blobFolder(algorithmOf(written.digest)));
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
    const algorithm = expected.digest === undefined ? "sha256" : algorithmOf(expected.digest);
    const hash = createHash(algorithm);
    let size = 0;
    const limit = expected.size ?? Number.MAX_SAFE_INTEGER;
    for await (const chunk of source instanceof Uint8Array ? [source] : source) {
      hash.update(chunk);
      size += chunk.length;
      if (size > limit) break;
      await file.writeFile(chunk);
    }
    const digest = `${algorithm}:${hash.digest("hex")}`;
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
    if (digestOf(data, algorithmOf(digest)) !== digest) throw await this.#damaged(digest);
    return data;
  }

  async #damaged(digest: string): Promise<GantryError> {
    await this.setAside(digest);
    return new GantryError("corrupt", `Blob ${digest} is damaged on disk`, { detail: { digest } });
  }

  async setAside(digest: string): Promise<void> {
    const blob = this.#paths.blob(parseDigest(digest));
    await this.#mutex.run(digest, async () => {
      await rename(blob, this.#paths.damagedBlob(digest)).catch((error) => {
        if (errnoOf(error) !== "ENOENT") throw error;
      });
    });
    const names = await readdir(this.#paths.damaged);
    const aged = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#paths.damaged, name);
        return { path, at: (await stat(path).catch(() => undefined))?.ctimeMs ?? 0 };
      }),
    );
    for (const { path } of aged.sort((a, b) => b.at - a.at).slice(damagedBlobsMax)) {
      await rm(path, { force: true });
    }
  }

  /** Checked on the way: the stream of a damaged blob ends with an error. */
  async open(digest: string): Promise<Readable> {
    const file = await open(this.#paths.blob(parseDigest(digest)), "r").catch((error) => {
      throw missing(digest, error);
    });
    const bytes = createReadStream("", { fd: file, highWaterMark: READ_BYTES });
    const check = async (hex: string): Promise<void> => {
      if (`${algorithmOf(digest)}:${hex}` !== digest) throw await this.#damaged(digest);
    };
    return Readable.from(checked(bytes, algorithmOf(digest), check), {
      objectMode: false,
      highWaterMark: READ_BYTES,
    });
  }

  /** Every digest that is stored. */
  async *list(): AsyncGenerator<string> {
    for (const algorithm of BLOB_ALGORITHMS) {
      const names = await readdir(this.#paths.blobFolder(algorithm));
      for (const name of names) if (isDigest(`${algorithm}:${name}`)) yield `${algorithm}:${name}`;
    }
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

async function* checked(
  bytes: Readable,
  algorithm: string,
  check: (hex: string) => Promise<void>,
): AsyncGenerator<Buffer> {
  const hash = createHash(algorithm);
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    hash.update(chunk);
    yield chunk;
  }
  await check(hash.digest("hex"));
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
