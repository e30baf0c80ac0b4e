// bzip2, a block at a time (at most 900 kB before its runs are written out), so that a reader that
// is slow stops the work and a small file that unpacks to much is never in memory at once. The
// decoder of blocks is unbzip2-stream's; its own stream reads on however slow the reader is.

import bitIterator from "unbzip2-stream/lib/bit_iterator.js";
import bzip2 from "unbzip2-stream/lib/bzip2.js";
import { GantryError, messageOf } from "../base/index.ts";

const BLOCK_UNIT_BYTES = 100_000;
/** A block that does not compress takes a little more than it holds. */
const BLOCK_EXTRA_BYTES = 25_000;
const HEADER_BYTES = 4;
const CHUNK_BYTES = 1024 * 1024;

export async function* bunzip2(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const input = new Input(source);
  try {
    for (let streams = 0; ; streams++) {
      await input.gather(HEADER_BYTES);
      // As bunzip2 does, several streams are one file; what follows them is left.
      if (streams > 0 && !input.hasMore()) return;
      const level = levelOf(input);
      if (level !== undefined) yield* oneStream(input, level);
      else if (streams > 0) return;
      else throw corrupt("not a bzip2 file");
    }
  } finally {
    await input.close();
  }
}

function levelOf(input: Input): number | undefined {
  try {
    return bzip2.header(input.bits);
  } catch {
    return undefined;
  }
}

async function* oneStream(input: Input, level: number): AsyncGenerator<Buffer> {
  const size = BLOCK_UNIT_BYTES * level;
  const buffer = new Int32Array(size);
  let checksum: number | null = 0;
  while (checksum !== null) {
    await input.gather(size + BLOCK_EXTRA_BYTES);
    const output = new Output();
    try {
      if (!input.hasMore()) throw new GantryError("corrupt", "unexpected EOF");
      checksum = bzip2.decompress(input.bits, output.put, buffer, size, checksum);
    } catch (cause) {
      throw corrupt(cause);
    }
    yield* output.take();
  }
}

const corrupt = (cause: unknown): GantryError =>
  new GantryError("corrupt", `bzip2: ${messageOf(cause)}`, { cause });

class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #queue: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #bits: ReturnType<typeof bitIterator> | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** It takes the first bytes at once, so these must be there. */
  get bits(): ReturnType<typeof bitIterator> {
    return (this.#bits ??= bitIterator(() => this.#queue.shift() ?? new Uint8Array()));
  }

  get #unread(): number {
    return this.#bytes - (this.#bits?.bytesRead ?? 0);
  }

  /** Until so many bytes are there that have not been read, or no more come. */
  async gather(bytes: number): Promise<void> {
    while (!this.#ended && this.#unread < bytes) {
      const { value, done } = await this.#source.next();
      if (done) this.#ended = true;
      else if (value.length > 0) {
        this.#queue.push(value);
        this.#bytes += value.length;
      }
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  hasMore(): boolean {
    return this.#unread >= HEADER_BYTES;
  }
}

class Output {
  readonly #full: Buffer[] = [];
  #current = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = 0;

  readonly put = (byte: number): void => {
    if (this.#at === CHUNK_BYTES) {
      this.#full.push(this.#current);
      this.#current = Buffer.allocUnsafe(CHUNK_BYTES);
      this.#at = 0;
    }
    this.#current[this.#at++] = byte;
  };

  take(): Buffer[] {
    return [...this.#full, this.#current.subarray(0, this.#at)];
  }
}
