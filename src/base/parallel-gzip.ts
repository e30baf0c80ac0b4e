// gzip on every core: the input is cut into blocks which the thread pool deflates side by side, and
// what comes out is one ordinary gzip member (RFC 1952) that any gunzip reads. Blocks end on a byte
// (sync flush) and do not look back, so the output depends on the input alone, not on timing, and
// can be made again from the middle. Memory does not grow with the input.

import { availableParallelism } from "node:os";
import { constants, crc32, deflateRaw } from "node:zlib";
import { noteGarbage } from "./garbage.ts";

/** Large enough that starting afresh costs about a thousandth of the size. */
export const GZIP_BLOCK_BYTES = 1 << 20;
/** Blocks that cannot be made smaller are stored, in pieces with five bytes each. */
const deflatedBytesMax = GZIP_BLOCK_BYTES + (GZIP_BLOCK_BYTES >> 8);
/** The wire is rarely slower than the CPU; level 6 saves a thirtieth and takes twice the time. */
const OPTIONS = {
  level: 1,
  memLevel: 9,
  windowBits: 14,
  chunkSize: deflatedBytesMax,
};
/** No time, no name, "fastest", "unknown system": the same bytes on every machine. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]);
/** An empty last block. */
const LAST_BLOCK = Buffer.from([3, 0]);
/** libuv's pool has four threads, which files and names need too. */
const threadsMax = Math.max(1, Math.min(availableParallelism(), 3));
/** Read ahead of those that are being waited for, all streams together. */
const blocksAhead = threadsMax + 1;

/** A place between two blocks from which the rest can be made. */
export interface GzipPoint {
  /** Bytes of the input before it. */
  input: number;
  /** Bytes of the output before it. */
  output: number;
  /** CRC-32 of the input before it. */
  crc: number;
}
export const GZIP_START: GzipPoint = { input: 0, output: 0, crc: 0 };

export interface GzipOptions {
  from?: GzipPoint;
  onPoint?: (point: GzipPoint) => void;
  /** 0 to 9; the same one for every part of a stream. */
  level?: number;
}

/** Yields the gzip form of `input`. With `from`, `input` starts at that point's byte and so does
 * what is yielded; `onPoint` is told every point on the way. */
export async function* parallelGzip(
  input: AsyncIterable<Uint8Array>,
  { from = GZIP_START, onPoint, level = OPTIONS.level }: GzipOptions = {},
): AsyncGenerator<Buffer> {
  streams++;
  try {
    yield* gzip(input, { from, onPoint, level });
  } finally {
    streams--;
  }
}

async function* gzip(
  input: AsyncIterable<Uint8Array>,
  {
    from,
    onPoint,
    level,
  }: { from: GzipPoint; onPoint: ((point: GzipPoint) => void) | undefined; level: number },
): AsyncGenerator<Buffer> {
  let point = from;
  const pending: Promise<Deflated>[] = [];
  const take = async (): Promise<Buffer> => {
    const { bytes, length, crc } = await pending.shift()!;
    const output = point.output + bytes.length;
    point = { input: point.input + length, output, crc };
    onPoint?.(point);
    return bytes;
  };
  if (from.output === 0) {
    point = { ...point, output: HEADER.length };
    yield HEADER;
  }
  let { crc } = from;
  for await (const block of blocks(input)) {
    crc = crc32(block, crc);
    const deflated = deflate(block, crc, level);
    deflated.catch(() => {}); // seen when its turn comes, which may be never
    pending.push(deflated);
    while (pending.length >= Math.ceil(blocksAhead / streams)) yield await take();
  }
  while (pending.length > 0) yield await take();
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(point.input % 2 ** 32, 4);
  yield Buffer.concat([LAST_BLOCK, trailer]);
}

/** Each in memory of its own. */
async function* blocks(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer<ArrayBuffer>> {
  let block = Buffer.allocUnsafeSlow(GZIP_BLOCK_BYTES);
  let filled = 0;
  for await (const chunk of input) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + GZIP_BLOCK_BYTES - filled);
      block.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < GZIP_BLOCK_BYTES) continue;
      yield block;
      block = Buffer.allocUnsafeSlow(GZIP_BLOCK_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

/** `crc` is that of all input up to the end of the block. */
type Deflated = { bytes: Buffer; length: number; crc: number };

/** A copy in memory of its own size; the rest is given back now rather than by the collector,
 * which waits for 64 MB of such garbage. */
function compact(bytes: Buffer<ArrayBuffer>): Buffer {
  const exact = Buffer.allocUnsafeSlow(bytes.length);
  exact.set(bytes);
  if (bytes.buffer.byteLength >= deflatedBytesMax) bytes.buffer.transfer(0);
  return exact;
}

let streams = 0;
let running = 0;
const waiting: (() => void)[] = [];

/** Deflates on a thread of the pool; all streams of this process share them. */
async function deflate(block: Buffer<ArrayBuffer>, crc: number, level: number): Promise<Deflated> {
  if (running >= threadsMax) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    const bytes = await new Promise<Buffer<ArrayBuffer>>((resolve, reject) =>
      deflateRaw(
        block,
        { ...OPTIONS, level, finishFlush: constants.Z_SYNC_FLUSH },
        (error, result) => (error ? reject(error) : resolve(result)),
      ),
    );
    const { length } = block;
    block.buffer.transfer(0); // given back now: nobody else has it
    noteGarbage(bytes.length);
    return { bytes: compact(bytes), length, crc };
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}
