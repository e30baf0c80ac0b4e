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

export class LogFile implements AsyncDisposable {
  readonly number: number;
  readonly path: string;
  readonly format: LogFormat;
  readonly handle: FileHandle;
  #frames: Frame[] | undefined;
  #open: { frame: Frame; content: Buffer } | undefined;

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

  /** Up to `length` bytes from `position` on; fewer at the end and where a frame ends. */
  async read(position: number, length: number): Promise<Buffer> {
    if (!this.#frames) {
      const block = Buffer.allocUnsafeSlow(length);
      const { bytesRead } = await this.handle.read(block, 0, length, position);
      return block.subarray(0, bytesRead);
    }
    const frame = this.#frames.find((f) => position < f.plainStart + f.plainBytes);
    if (!frame) return Buffer.alloc(0);
    if (this.#open?.frame !== frame) {
      const packed = Buffer.allocUnsafe(frame.bytes);
      await this.handle.read(packed, 0, frame.bytes, frame.start);
      const content = await inflate(packed, { maxOutputLength: frame.plainBytes });
      this.#open = { frame, content: Buffer.from(content) };
    }
    const from = position - frame.plainStart;
    return this.#open.content.subarray(from, from + length);
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
