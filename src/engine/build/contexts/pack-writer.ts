// Takes the contents of files that come at once and in parts, and puts each in one piece into the
// pack. Small ones are gathered, so that 50,000 files are not 50,000 writes.

import { createHash, hash } from "node:crypto";
import type { Pack } from "./pack.ts";

const SMALL_BYTES_MAX = 256 * 1024;
const GATHERED_BYTES = 2 * 1024 * 1024;

export interface WrittenFile {
  offset: number;
  size: number;
  /** SHA-256, hex. */
  digest: string;
}

export class PackWriter {
  readonly #pack: Pack;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  /** Whose content is gathered. */
  #files: WrittenFile[] = [];
  #flushed: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(pack: Pack) {
    this.#pack = pack;
  }

  /** Takes one file; many may be under way. It is readable after `flush`. */
  async put(content: AsyncIterable<Uint8Array>, expectedSize: number): Promise<WrittenFile> {
    const chunks: Buffer[] = [];
    let size = 0;
    const iterator = content[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) return await this.#small(chunks, size);
      chunks.push(Buffer.from(value.buffer, value.byteOffset, value.length));
      size += value.length;
      if (size > SMALL_BYTES_MAX) break;
    }
    return await this.#large(chunks, iterator, expectedSize);
  }

  async #small(chunks: Buffer[], size: number): Promise<WrittenFile> {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const digest = hash("sha256", bytes, "hex");
    if (this.#gatheredBytes + size > GATHERED_BYTES) await this.#write();
    this.#gathered.push(bytes);
    // Relative until what was gathered has its place.
    const file: WrittenFile = { offset: this.#gatheredBytes, size, digest };
    this.#gatheredBytes += size;
    this.#files.push(file);
    return file;
  }

  /** Gives what was gathered its place. */
  async #write(): Promise<void> {
    const chunks = this.#gathered;
    const size = this.#gatheredBytes;
    const files = this.#files;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#files = [];
    if (files.length === 0) return;
    const start = this.#pack.reserve(size);
    for (const file of files) file.offset += start;
    const before = this.#flushed;
    this.#flushed = this.#pack.write(start, [Buffer.concat(chunks)]).catch((error) => {
      this.#failure ??= error;
    });
    await before;
    this.#check();
  }

  /** In one piece, as long as the client said; a file that grew meanwhile is copied together. */
  async #large(
    chunks: Buffer[],
    rest: AsyncIterator<Uint8Array>,
    expectedSize: number,
  ): Promise<WrittenFile> {
    const digest = createHash("sha256");
    let room = Math.max(expectedSize, 2 * SMALL_BYTES_MAX);
    let offset = this.#pack.reserve(room);
    let size = 0;
    const take = async (chunk: Buffer) => {
      digest.update(chunk);
      if (size + chunk.length > room) {
        const wider = this.#pack.reserve(2 * (size + chunk.length));
        await this.#move(offset, size, wider);
        offset = wider;
        room = 2 * (size + chunk.length);
      }
      await this.#pack.write(offset + size, [chunk]);
      size += chunk.length;
    };
    for (const chunk of chunks) await take(chunk);
    for (;;) {
      const { done, value } = await rest.next();
      if (done) break;
      await take(Buffer.from(value.buffer, value.byteOffset, value.length));
    }
    return { offset, size, digest: digest.digest("hex") };
  }

  async #move(from: number, size: number, to: number): Promise<void> {
    let at = to;
    for await (const chunk of this.#pack.reader().read(from, size)) {
      await this.#pack.write(at, [chunk]);
      at += chunk.length;
    }
  }

  /** Resolves when every file that was put is in the pack. */
  async flush(): Promise<void> {
    await this.#write();
    await this.#flushed;
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
