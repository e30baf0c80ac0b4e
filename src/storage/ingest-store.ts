// Blobs that are still on their way, so that a transfer which was interrupted (the client went, the
// network broke, the daemon was killed) goes on where it stopped. A partial blob is a folder named
// after its digest; each file in it is a run of bytes, named after where it begins, and its length
// says how far it has come: the file system is the record, to the byte, and nothing is written
// twice. What lies here is not content: nobody sees it under its digest, and whoever goes on with
// it hashes every byte again, so that even a power cut can cost no more than a fresh transfer.

import { type FileHandle, mkdir, open, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../base/index.ts";
import { parseDigest } from "../spec/index.ts";
import { noSpace, spaceError } from "./content-store.ts";
import type { PartialBlob, PartialBlobs } from "./contract.ts";
import type { StoragePaths } from "./storage-paths.ts";

/** What may lie about of transfers that nobody goes on with. */
export interface PartialLimits {
  ageMsMax: number;
  blobsMax: number;
  bytesMax: number;
}
export const PARTIAL_LIMITS: PartialLimits = {
  ageMsMax: 24 * 3600 * 1000,
  blobsMax: 512,
  bytesMax: 32 * 2 ** 30,
};
const partsMax = 100_000;

type Resting = { name: string; bytes: number; touchedAt: number };

export class PartialFolders implements PartialBlobs {
  #paths: StoragePaths;
  #limits: PartialLimits;
  #open = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(paths: StoragePaths, limits: PartialLimits) {
    this.#paths = paths;
    this.#limits = limits;
  }

  async open(digest: string, size: number): Promise<PartialBlob> {
    parseDigest(digest);
    const name = digest.replace(":", "-");
    if (this.#open.has(name)) {
      throw new GantryError("conflict", `Blob ${digest} is being transferred already`);
    }
    this.#open.add(name);
    const folder = this.#paths.partial(name);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      let parts = await partsOf(folder);
      if (!areSound(parts, size)) {
        await emptyFolder(folder);
        parts = [];
      }
      await this.#checkSpace(size - parts.reduce((sum, { length }) => sum + length, 0));
      return new Folder(folder, parts, (isEmpty) => this.#closed(name, isEmpty));
    } catch (error) {
      this.#open.delete(name);
      throw spaceError(error);
    }
  }

  /** A size that cannot fit is refused before a byte of it has come. */
  async #checkSpace(bytes: number): Promise<void> {
    const disk = await statfs(this.#paths.partials);
    if (bytes > disk.bavail * disk.bsize) {
      throw noSpace(new Error(`${bytes} bytes are wanted, ${disk.bavail * disk.bsize} are free`));
    }
  }

  async #closed(name: string, isEmpty: boolean): Promise<void> {
    if (isEmpty) await rm(this.#paths.partial(name), { recursive: true, force: true });
    this.#open.delete(name);
    if (!isEmpty) await this.expire();
  }

  /** Removes what is too old, and the oldest of what is too much. */
  async expire(): Promise<void> {
    const resting = (await this.#resting()).sort((a, b) => b.touchedAt - a.touchedAt);
    const { ageMsMax, blobsMax, bytesMax } = this.#limits;
    let bytes = 0;
    let oldest = Number.POSITIVE_INFINITY;
    for (const [at, one] of resting.entries()) {
      bytes += one.bytes;
      const isOld = one.touchedAt < Date.now() - ageMsMax;
      if (isOld || at >= blobsMax || bytes > bytesMax) await this.#remove(one.name);
      else oldest = Math.min(oldest, one.touchedAt);
    }
    clearTimeout(this.#timer);
    if (oldest === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(2 ** 31 - 1, Math.max(1000, oldest + ageMsMax - Date.now() + 1));
    this.#timer = setTimeout(() => this.expire().catch(() => {}), wait);
    this.#timer.unref();
  }

  async restingBytes(): Promise<number> {
    return sumOf(await this.#resting());
  }

  async clear({ untilMs = Number.POSITIVE_INFINITY } = {}): Promise<number> {
    const doomed = (await this.#resting()).filter(({ touchedAt }) => touchedAt <= untilMs);
    for (const { name } of doomed) await this.#remove(name);
    return sumOf(doomed);
  }

  async #remove(name: string): Promise<void> {
    if (this.#open.has(name)) return;
    await rm(this.#paths.partial(name), { recursive: true, force: true });
  }

  async #resting(): Promise<Resting[]> {
    const found: Resting[] = [];
    for (const name of await readdir(this.#paths.partials)) {
      if (this.#open.has(name)) continue;
      const folder = this.#paths.partial(name);
      let bytes = 0;
      let touchedAt = (await stat(folder).catch(() => undefined))?.mtimeMs ?? 0;
      for (const file of await readdir(folder).catch(() => [])) {
        const part = await stat(join(folder, file)).catch(() => undefined);
        bytes += part?.size ?? 0;
        touchedAt = Math.max(touchedAt, part?.mtimeMs ?? 0);
      }
      found.push({ name, bytes, touchedAt });
    }
    return found;
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

const sumOf = (resting: readonly Resting[]): number =>
  resting.reduce((sum, { bytes }) => sum + bytes, 0);

type Part = { start: number; length: number };

async function partsOf(folder: string): Promise<Part[]> {
  const parts: Part[] = [];
  for (const name of await readdir(folder)) {
    const { size: length } = await stat(join(folder, name));
    parts.push({ start: /^\d{1,16}$/.test(name) ? Number(name) : Number.NaN, length });
  }
  return parts.sort((a, b) => a.start - b.start);
}

/** In order, apart from one another, inside the blob. */
function areSound(parts: readonly Part[], size: number): boolean {
  return (
    parts.length <= partsMax &&
    parts.every(({ start, length }, at) => start + length <= (parts[at + 1]?.start ?? size))
  );
}

async function emptyFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
}

class Folder implements PartialBlob {
  readonly parts: readonly Part[];
  #folder: string;
  #writers = new Map<number, FileHandle>();
  #reader: { start: number; file: FileHandle } | undefined;
  #written: boolean;
  #onClosed: (isEmpty: boolean) => Promise<void>;

  constructor(folder: string, parts: Part[], onClosed: (isEmpty: boolean) => Promise<void>) {
    this.#folder = folder;
    this.parts = parts;
    this.#written = parts.length > 0;
    this.#onClosed = onClosed;
  }

  #path(start: number): string {
    return join(this.#folder, String(start));
  }

  async append(start: number, chunks: readonly Uint8Array[]): Promise<void> {
    try {
      let file = this.#writers.get(start);
      if (file === undefined) {
        file = await open(this.#path(start), "a", 0o600);
        this.#writers.set(start, file);
        this.#written = true;
      }
      let rest = chunks;
      while (rest.length > 0) {
        const { bytesWritten } = await file.writev(rest as Uint8Array[]);
        rest = without(rest, bytesWritten);
      }
    } catch (error) {
      throw spaceError(error);
    }
  }

  async endPart(start: number): Promise<void> {
    const file = this.#writers.get(start);
    this.#writers.delete(start);
    await file?.close();
  }

  async read(start: number, offset: number, buffer: Uint8Array): Promise<number> {
    if (this.#reader?.start !== start) {
      await this.#reader?.file.close();
      this.#reader = undefined;
      this.#reader = { start, file: await open(this.#path(start), "r") };
    }
    const { bytesRead } = await this.#reader.file.read(buffer, 0, buffer.length, offset);
    return bytesRead;
  }

  async removePart(start: number): Promise<void> {
    await this.endPart(start);
    await rm(this.#path(start), { force: true });
  }

  async discard(): Promise<void> {
    await this.#closeFiles();
    await emptyFolder(this.#folder);
    this.#written = false;
  }

  async #closeFiles(): Promise<void> {
    for (const start of this.#writers.keys()) await this.endPart(start);
    await this.#reader?.file.close();
    this.#reader = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeFiles();
    await this.#onClosed(!this.#written);
  }
}

/** What is left of `chunks` after its first `bytes`. */
function without(chunks: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      rest.push(skip === 0 ? chunk : chunk.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}
