// One blob on its way from an upstream, for all who want it. Bytes go to an unlinked local file
// that every reader follows at its own pace, and into the store; a slow reader holds up nobody. The
// last byte is given out only when the digest has been verified, so that a client never gets a
// whole blob that is not what it asked for. What the store cannot take is still served.

import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { ObjectStore } from "./contract.ts";
import { algorithmOf } from "./names.ts";
import { blobPath, layerLink, uploadPath } from "./storage-paths.ts";

const readBytes = 256 << 10;

export interface DownloadParts {
  store: ObjectStore;
  /** Of the repository here. */
  name: string;
  digest: string;
  size: number;
  spoolFolder: string;
  bytes: () => AsyncIterable<Buffer>;
  /** The store could not take it. */
  onUnstored: (error: unknown) => void;
  /** It failed: who asks from now on needs another one. */
  onFailed: () => void;
}

export class Download {
  readonly size: number;
  /** Ends when the blob is in the store, or could not be. */
  readonly finished: Promise<void>;
  #parts: DownloadParts;
  #file: FileHandle | undefined;
  #written = 0;
  #isVerified = false;
  #failure: unknown;
  #wake = Promise.withResolvers<void>();
  #readers = 0;
  #isOver = false;

  constructor(parts: DownloadParts) {
    this.#parts = parts;
    this.size = parts.size;
    this.finished = this.#run();
    this.finished.catch(() => {});
  }

  /** How much has come. */
  get position(): number {
    return this.#written;
  }

  /** From `start` to `end`, both inclusive, as it comes. */
  read({ start = 0, end = this.size - 1 }: { start?: number; end?: number } = {}): Readable {
    this.#readers++;
    let at = start;
    const next = async (stream: Readable): Promise<void> => {
      const bytes = at > end ? null : await this.#bytesFrom(at, end, stream);
      at += bytes?.length ?? 0;
      if (bytes !== undefined) stream.push(bytes);
    };
    return new Readable({
      highWaterMark: readBytes,
      read() {
        next(this).catch((error) => this.destroy(error));
      },
      destroy: (error, done) => {
        this.#readers--;
        this.#closeFile().then(
          () => done(error),
          (failure) => done(error ?? failure),
        );
      },
    });
  }

  /** The next bytes as soon as they are there; undefined when the reader has left. */
  async #bytesFrom(at: number, end: number, reader: Readable): Promise<Buffer | undefined> {
    while (!reader.destroyed) {
      if (this.#failure !== undefined) throw this.#failure;
      const ready = this.#isVerified ? this.size : Math.min(this.#written, this.size - 1);
      const until = Math.min(end + 1, ready, at + readBytes);
      if (until <= at) {
        await this.#wake.promise;
        continue;
      }
      const buffer = Buffer.allocUnsafe(until - at);
      const { bytesRead } = await this.#file!.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new GantryError("internal", "The spool file is too short");
      return buffer.subarray(0, bytesRead);
    }
    return undefined;
  }

  async #run(): Promise<void> {
    const { digest, spoolFolder, size } = this.#parts;
    const sink = new Sink(this.#parts);
    let ended = false;
    try {
      const path = join(spoolFolder, `gantry-cache-${randomUUID()}`);
      this.#file = await open(path, "wx+", 0o600);
      await unlink(path);
      const algorithm = algorithmOf(digest);
      const hash = createHash(algorithm);
      for await (const chunk of this.#parts.bytes()) {
        await Promise.all([writeAll(this.#file, chunk, this.#written), sink.write(chunk)]);
        hash.update(chunk);
        this.#written += chunk.length;
        this.#progress();
      }
      if (this.#written !== size || `${algorithm}:${hash.digest("hex")}` !== digest) {
        throw new GantryError("corrupt", `the bytes of blob ${digest} do not match its digest`);
      }
      this.#isVerified = true;
      this.#progress();
      ended = true;
      await sink.finish();
    } catch (error) {
      this.#failure = error;
      this.#parts.onFailed();
      this.#progress();
      if (!ended) await sink.abort();
      throw error;
    } finally {
      this.#isOver = true;
      await this.#closeFile();
    }
  }

  #progress(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }

  async #closeFile(): Promise<void> {
    if (!this.#isOver || this.#readers > 0) return;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** The store's side: an upload of its own, which nobody sees before it is complete. */
class Sink {
  #parts: DownloadParts;
  #upload: string;
  #stream = new PassThrough({ highWaterMark: readBytes });
  #stored: Promise<number>;
  #error: unknown;

  constructor(parts: DownloadParts) {
    this.#parts = parts;
    this.#upload = uploadPath(parts.name, randomUUID());
    this.#stored = parts.store.appendTo(this.#upload, 0, this.#stream);
    this.#stored.catch((error) => {
      this.#error = error;
      this.#stream.destroy();
    });
    this.#stream.on("error", () => {});
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#error !== undefined || this.#stream.destroyed) return;
    if (this.#stream.write(chunk)) return;
    await Promise.race([once(this.#stream, "drain"), once(this.#stream, "close")]).catch(() => {});
  }

  async finish(): Promise<void> {
    const { store, name, digest, size, onUnstored } = this.#parts;
    try {
      this.#stream.end();
      await this.#stored;
      await store.completeUpload(this.#upload, blobPath(digest), size);
      await store.write(layerLink(name, digest), Buffer.from(digest));
    } catch (error) {
      onUnstored(error);
      await this.abort();
    }
  }

  async abort(): Promise<void> {
    this.#stream.destroy();
    await this.#stored.catch(() => {});
    await this.#parts.store.abortUpload(this.#upload).catch(() => {});
  }
}

async function writeAll(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
