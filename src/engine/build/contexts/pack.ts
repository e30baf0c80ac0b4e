// The bytes of a context's files, one after another in one file: 50,000 files are received, kept
// and deleted as one. Ranges are only added, never changed, so a build that reads is not disturbed
// by one that writes; what an index does not speak of is rubbish and is left out at the next
// rewrite.

import { ftruncateSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { GantryError } from "../../../base/index.ts";

const WINDOW_BYTES = 1 << 20;

export class Pack {
  readonly path: string;
  readonly #file: FileHandle;
  #end: number;
  #closed: Promise<void> | undefined;

  private constructor(path: string, file: FileHandle, end: number) {
    this.path = path;
    this.#file = file;
    this.#end = end;
  }

  /** Makes a new one. */
  static async make(path: string): Promise<Pack> {
    return new Pack(path, await open(path, "wx+", 0o600), 0);
  }

  /** Opens one that is there; what stands after `end` was never spoken of, and goes. */
  static async open(path: string, end: number): Promise<Pack> {
    const file = await open(path, "r+");
    try {
      const { size } = await file.stat();
      if (size < end) throw new GantryError("corrupt", "a kept build context was cut");
      if (size > end) await file.truncate(end);
      return new Pack(path, file, end);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get end(): number {
    return this.#end;
  }

  /** Sets bytes aside for a writer. */
  reserve(size: number): number {
    const at = this.#end;
    this.#end += size;
    return at;
  }

  /** Takes off what stands after `end`, at once, so that nobody writes there meanwhile. */
  cut(end: number): void {
    this.#end = end;
    ftruncateSync(this.#file.fd, end);
  }

  async write(offset: number, chunks: readonly Uint8Array[]): Promise<void> {
    let left = chunks.filter((chunk) => chunk.length > 0);
    let at = offset;
    while (left.length > 0) {
      const { bytesWritten } = await this.#file.writev(left, at);
      at += bytesWritten;
      left = after(left, bytesWritten);
    }
  }

  /** Adds bytes; returns where they are. */
  async append(chunks: readonly Uint8Array[], size: number): Promise<number> {
    const offset = this.reserve(size);
    await this.write(offset, chunks);
    return offset;
  }

  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  close(): Promise<void> {
    this.#closed ??= this.#file.close();
    return this.#closed;
  }

  reader(): PackReader {
    return new PackReader(this.#file);
  }
}

function after(chunks: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  const left: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      left.push(skip > 0 ? chunk.subarray(skip) : chunk);
      skip = 0;
    }
  }
  return left;
}

/** Reads ranges, most of which follow one another: a window at a time. */
export class PackReader {
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** A range that is in memory already; undefined when it must be read. */
  ready(offset: number, size: number): Buffer | undefined {
    const start = offset - this.#at;
    if (start < 0 || start + size > this.#window.length) return undefined;
    return this.#window.subarray(start, start + size);
  }

  /** The range in chunks, which stay valid. Throws corrupt when the file is shorter. */
  async *read(offset: number, size: number): AsyncGenerator<Buffer> {
    for (let done = 0; done < size; ) {
      let chunk = this.#part(offset + done, size - done);
      if (chunk === undefined) {
        await this.#fill(offset + done);
        chunk = this.#part(offset + done, size - done);
      }
      if (chunk === undefined) throw new GantryError("corrupt", "a kept build context was cut");
      yield chunk;
      done += chunk.length;
    }
  }

  async #fill(offset: number): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
    const { bytesRead } = await this.#file.read(buffer, 0, WINDOW_BYTES, offset);
    this.#window = buffer.subarray(0, bytesRead);
    this.#at = offset;
  }

  #part(offset: number, size: number): Buffer | undefined {
    const start = offset - this.#at;
    if (start < 0 || start >= this.#window.length) return undefined;
    return this.#window.subarray(start, Math.min(this.#window.length, start + size));
  }
}
