// One generation of a log, opened: plain, or compressed in frames that are read one by one. Either
// way it is addressed by the offset in its plain content.

import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { binaryFormat, MAGIC } from "./binary-format.ts";
import { type Frame, readFrameIndex } from "./compressed.ts";
import type { Generation } from "./generations.ts";
import { jsonFormat } from "./json-format.ts";
import type { LogFormat } from "./record.ts";

const inflate = promisify(zstdDecompress);
const CHUNK_BYTES_MIN = 64;

export class LogFile implements AsyncDisposable {
  readonly number: number;
  readonly path: string;
  readonly format: LogFormat;
  readonly handle: FileHandle;
  #frames: Frame[] | undefined;
  #open: { index: number; content: Buffer } | undefined;
  /** Unpacked by another thread while the one before it is read. */
  #ahead: { index: number; content: Promise<Buffer> } | undefined;

  private constructor(
    generation: Generation,
    handle: FileHandle,
    format: LogFormat,
    frames: Frame[] | undefined,
  ) {
    this.number = generation.number;
    this.path = generation.path;
    this.handle = handle;
    this.format = format;
    this.#frames = frames;
  }

  /** Undefined where the file has been removed or compressed since it was listed. `binary`: the
   * format of a file in which nothing is written yet. */
  static async open(generation: Generation, binary: boolean): Promise<LogFile | undefined> {
    let handle: FileHandle;
    try {
      handle = await open(generation.path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      if (generation.compressed) return undefined;
      const compressed = { ...generation, path: `${generation.path}.zst`, compressed: true };
      return generation.number > 0 ? await LogFile.open(compressed, binary) : undefined;
    }
    try {
      const index = generation.compressed ? await readFrameIndex(handle) : undefined;
      const isBinary = index ? index.binary : await isBinaryFile(handle, binary);
      return new LogFile(generation, handle, isBinary ? binaryFormat : jsonFormat, index?.frames);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get compressed(): boolean {
    return this.#frames !== undefined;
  }

  async size(): Promise<number> {
    if (!this.#frames) return (await this.handle.stat()).size;
    const last = this.#frames.at(-1);
    return last ? last.plainStart + last.plainBytes : 0;
  }

  /** Up to `length` bytes from `position` on, to `block` at `at`; returns how many: fewer at the
   * end and where a frame ends. */
  async readInto(block: Buffer, at: number, length: number, position: number): Promise<number> {
    if (!this.#frames) return (await this.handle.read(block, at, length, position)).bytesRead;
    const content = await this.#frameAt(position, this.#frames);
    return content.copy(block, at, 0, length);
  }

  /** The rest of the frame that holds `position`; nothing at the end. */
  async #frameAt(position: number, frames: readonly Frame[]): Promise<Buffer> {
    const index = frames.findIndex((f) => position < f.plainStart + f.plainBytes);
    const frame = frames[index];
    if (!frame) return Buffer.alloc(0);
    if (this.#open?.index !== index) {
      const isNext = this.#open?.index === index - 1;
      const ahead = this.#ahead?.index === index ? this.#ahead.content : undefined;
      this.#open = { index, content: await (ahead ?? this.#unpack(frame)) };
      const next = isNext ? frames[index + 1] : undefined;
      this.#ahead = next && { index: index + 1, content: this.#unpack(next) };
      this.#ahead?.content.catch(() => {}); // whoever comes to it hears of it
    }
    return this.#open.content.subarray(position - frame.plainStart);
  }

  async #unpack(frame: Frame): Promise<Buffer> {
    const packed = Buffer.allocUnsafe(frame.bytes);
    await this.handle.read(packed, 0, frame.bytes, frame.start);
    // One piece: by default it would be put together of small ones.
    const chunkSize = Math.max(frame.plainBytes, CHUNK_BYTES_MIN);
    return await inflate(packed, { chunkSize, maxOutputLength: frame.plainBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}

async function isBinaryFile(handle: FileHandle, fallback: boolean): Promise<boolean> {
  const head = Buffer.alloc(MAGIC.length);
  const { bytesRead } = await handle.read(head, 0, MAGIC.length, 0);
  return bytesRead === 0 ? fallback : head.subarray(0, bytesRead).equals(MAGIC);
}
