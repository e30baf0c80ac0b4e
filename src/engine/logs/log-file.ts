// One generation of a log, opened: plain, or compressed in frames that are read one by one. Either
// way it is addressed by the offset in its plain content.

import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { binaryFormat, MAGIC } from "./binary-format.ts";
import { damagedLog, type Frame, readFrameIndex } from "./compressed.ts";
import type { Generation } from "./generations.ts";
import { jsonFormat } from "./json-format.ts";
import type { LogFormat } from "./record.ts";
import { unpacker } from "./unpacker.ts";

const inflate = promisify(zstdDecompress);
const CHUNK_BYTES_MIN = 64;
const FRAMES_AHEAD = 2;

export class LogFile implements AsyncDisposable {
  readonly number: number;
  readonly path: string;
  readonly format: LogFormat;
  readonly handle: FileHandle;
  #frames: Frame[] | undefined;
  #open: { index: number; content: Buffer } | undefined;
  /** Unpacked by another thread while the one before them is read. */
  #ahead = new Map<number, Promise<Buffer>>();
  #closed = false;

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
      const content = await (this.#ahead.get(index) ?? this.#unpack(frame, isNext));
      if (this.#open) unpacker.recycle(this.#open.content);
      if (this.#closed) {
        unpacker.recycle(content);
        return Buffer.alloc(0); // it was read ahead, and nobody waits for it any more
      }
      this.#open = { index, content };
      this.#ahead.delete(index);
      if (isNext) this.#unpackAhead(frames, index);
    }
    return this.#open.content.subarray(position - frame.plainStart);
  }

  #unpackAhead(frames: readonly Frame[], index: number): void {
    this.#forgetAhead((each) => each >= index && each <= index + FRAMES_AHEAD);
    for (let next = index + 1; next <= index + FRAMES_AHEAD; next++) {
      const frame = frames[next];
      if (!frame || this.#ahead.has(next)) continue;
      const content = this.#unpack(frame, true);
      content.catch(() => {}); // whoever comes to it hears of it
      this.#ahead.set(next, content);
    }
  }

  async #unpack(frame: Frame, isLongRead: boolean): Promise<Buffer> {
    const packed = Buffer.allocUnsafe(frame.bytes);
    await this.handle.read(packed, 0, frame.bytes, frame.start);
    if (isLongRead || unpacker.isRunning) return await unpacker.unpack(packed, frame.plainBytes);
    // One piece: by default it would be put together of small ones.
    const chunkSize = Math.max(frame.plainBytes, CHUNK_BYTES_MIN);
    try {
      return await inflate(packed, { chunkSize, maxOutputLength: frame.plainBytes });
    } catch (cause) {
      throw damagedLog(cause);
    }
  }

  /** Gives back what was unpacked: nobody may read it any more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#open) unpacker.recycle(this.#open.content);
    this.#open = undefined;
    this.#forgetAhead(() => false);
    await this.handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #forgetAhead(keeps: (index: number) => boolean): void {
    for (const [index, content] of this.#ahead) {
      if (keeps(index)) continue;
      this.#ahead.delete(index);
      content.then(
        (unpacked) => unpacker.recycle(unpacked),
        () => {},
      );
    }
  }
}

async function isBinaryFile(handle: FileHandle, fallback: boolean): Promise<boolean> {
  const head = Buffer.alloc(MAGIC.length);
  const { bytesRead } = await handle.read(head, 0, MAGIC.length, 0);
  return bytesRead === 0 ? fallback : head.subarray(0, bytesRead).equals(MAGIC);
}
