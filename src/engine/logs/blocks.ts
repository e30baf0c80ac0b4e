// Blocks of whole records out of a log file, forwards and backwards. A record that does not end in
// one block begins the next.

import type { LogFile } from "./log-file.ts";
import { newView } from "./record.ts";

export const BLOCK_BYTES = 512 * 1024;
/** Most blocks leave less than this over. */
const REST = 16 * 1024;
/** An entry is at most 16 KiB, of which each byte may be escaped, and its attributes. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;

export interface Block {
  /** Offset of the first record in the plain content. */
  start: number;
  data: Buffer;
}

/** From `position` (a record's start) to the end that the file has now. A block ends with the last
 * whole record that was read. Its memory is used again for the block after the next one. */
export async function* blocksFrom(
  file: LogFile,
  position: number,
  signal?: AbortSignal,
): AsyncGenerator<Block> {
  let start = Math.max(position, file.format.headBytes);
  let spare: Buffer | undefined;
  let next = fill(file, start, Buffer.alloc(0), BLOCK_BYTES, undefined);
  for (;;) {
    const { memory, data, grown } = await next;
    signal?.throwIfAborted();
    if (!grown) return;
    const end = wholeEnd(file, data);
    if (end === 0) {
      if (data.length > RECORD_BYTES_MAX) return;
      next = fill(file, start, data, data.length, undefined);
      continue;
    }
    next = fill(file, start + end, data.subarray(end), BLOCK_BYTES, spare);
    next.catch(() => {});
    yield { start, data: data.subarray(0, end) };
    spare = memory;
    start += end;
  }
}

/** Reads `bytes` more after `rest`, which begins at `start`. */
async function fill(
  file: LogFile,
  start: number,
  rest: Buffer,
  bytes: number,
  spare: Buffer | undefined,
): Promise<{ memory: Buffer; data: Buffer; grown: boolean }> {
  const needed = rest.length + bytes;
  const memory = spare && spare.length >= needed ? spare : Buffer.allocUnsafeSlow(needed + REST);
  rest.copy(memory);
  const read = await file.readInto(memory, rest.length, bytes, start + rest.length);
  return { memory, data: memory.subarray(0, rest.length + read), grown: read > 0 };
}

/** Where the last whole record of a block ends. */
function wholeEnd(file: LogFile, data: Buffer): number {
  if (file.format.name === "json") return data.lastIndexOf(10) + 1;
  const view = newView();
  let at = 0;
  for (;;) {
    const found = file.format.read(data, at, data.length, view);
    if (found !== "whole") return at;
    at = view.next;
  }
}

/** From `end` (a record's end) back to the file's start; each block holds whole records. */
export async function* blocksBefore(file: LogFile, end: number): AsyncGenerator<Block> {
  const head = file.format.headBytes;
  let wanted = BLOCK_BYTES;
  while (end > head) {
    const start = Math.max(head, end - wanted);
    const data = await readExactly(file, start, end - start);
    const first = start === head ? 0 : firstRecord(file, data);
    if (first < 0) {
      if (wanted > RECORD_BYTES_MAX) return;
      wanted *= 2;
      continue;
    }
    wanted = BLOCK_BYTES;
    yield { start: start + first, data: data.subarray(first) };
    end = start + first;
  }
}

/** The first record's start of a block that ends with a record's end; -1 where it has none. */
function firstRecord(file: LogFile, data: Buffer): number {
  if (file.format.name === "json") {
    const newline = data.indexOf(10);
    return newline < 0 || newline === data.length - 1 ? -1 : newline + 1;
  }
  let at = data.length;
  for (;;) {
    const before = file.format.before(data, at);
    if (before < 0 || before >= at) return at === data.length ? -1 : at;
    at = before;
  }
}

/** The end of the last whole record that the file has now. */
export async function lastRecordEnd(file: LogFile): Promise<number> {
  const size = await file.size();
  if (file.format.name === "json") {
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - BLOCK_BYTES);
      const newline = (await readExactly(file, start, end - start)).lastIndexOf(10);
      if (newline >= 0) return start + newline + 1;
      end = start;
    }
    return 0;
  }
  if (await endsWhole(file, size)) return size;
  let end = file.format.headBytes;
  for await (const { start, data } of blocksFrom(file, 0)) end = start + data.length;
  return end;
}

/** Whether the last bytes are those of a whole binary record. */
async function endsWhole(file: LogFile, size: number): Promise<boolean> {
  if (size <= file.format.headBytes) return size === file.format.headBytes;
  const last = await readExactly(
    file,
    Math.max(0, size - BLOCK_BYTES),
    Math.min(size, BLOCK_BYTES),
  );
  const start = file.format.before(last, last.length);
  return start >= 0 && file.format.read(last, start, last.length, newView()) === "whole";
}

export async function readExactly(
  file: LogFile,
  position: number,
  length: number,
): Promise<Buffer> {
  const data = Buffer.allocUnsafeSlow(length);
  let have = 0;
  while (have < length) {
    const read = await file.readInto(data, have, length - have, position + have);
    if (read === 0) break;
    have += read;
  }
  return data.subarray(0, have);
}
