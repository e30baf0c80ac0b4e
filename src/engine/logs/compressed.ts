// Rotated files, compressed: zstd frames of a few MiB each, that can be read one by one, and after
// them a table of the frames in a skippable frame, so that `zstd -d` reads the file like any other.

import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { GantryError } from "../../base/index.ts";

const FRAME_PLAIN_BYTES = 2 * 1024 * 1024;
const SKIPPABLE_MAGIC = 0x184d2a5a;
const TABLE_MAGIC = 0x31474f4c; // "LOG1"
const ROW_BYTES = 8;
const FOOTER_BYTES = 12;
const LEVEL = 3;
const FRAMES_MAX = 1 << 20;

export interface Frame {
  start: number;
  bytes: number;
  plainStart: number;
  plainBytes: number;
}

const deflate = promisify(zstdCompress);

/** Writes the plain file's content to `target`, frame by frame, with a `pause` before each. */
export async function compressFile(
  source: FileHandle,
  target: FileHandle,
  o: { binary: boolean; signal?: AbortSignal; pause?: () => Promise<void> },
): Promise<void> {
  const rows: [number, number][] = [];
  const params = { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } };
  const block = Buffer.allocUnsafe(FRAME_PLAIN_BYTES);
  for (let position = 0; ; ) {
    await o.pause?.();
    o.signal?.throwIfAborted();
    const { bytesRead } = await source.read(block, 0, FRAME_PLAIN_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const packed = await deflate(block.subarray(0, bytesRead), params);
    await target.write(packed);
    rows.push([packed.length, bytesRead]);
  }
  await target.write(encodeTable(rows, o.binary));
}

function encodeTable(rows: readonly [number, number][], binary: boolean): Buffer {
  const payload = rows.length * ROW_BYTES + FOOTER_BYTES;
  const out = Buffer.alloc(8 + payload);
  out.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  out.writeUInt32LE(payload, 4);
  let at = 8;
  for (const [bytes, plainBytes] of rows) {
    at = out.writeUInt32LE(bytes, at);
    at = out.writeUInt32LE(plainBytes, at);
  }
  at = out.writeUInt32LE(rows.length, at);
  at = out.writeUInt32LE(binary ? 1 : 0, at);
  out.writeUInt32LE(TABLE_MAGIC, at);
  return out;
}

/** Throws corrupt for a file that this daemon did not finish. */
export async function readFrameIndex(
  handle: FileHandle,
): Promise<{ binary: boolean; frames: Frame[] }> {
  const { size } = await handle.stat();
  const footer = await readAt(handle, size - FOOTER_BYTES, FOOTER_BYTES);
  const count = footer.readUInt32LE(0);
  if (footer.readUInt32LE(8) !== TABLE_MAGIC || count > FRAMES_MAX) throw damagedLog();
  const table = await readAt(handle, size - FOOTER_BYTES - count * ROW_BYTES, count * ROW_BYTES);
  const frames: Frame[] = [];
  let start = 0;
  let plainStart = 0;
  for (let at = 0; at < table.length; at += ROW_BYTES) {
    const bytes = table.readUInt32LE(at);
    const plainBytes = table.readUInt32LE(at + 4);
    if (bytes > 2 * FRAME_PLAIN_BYTES || plainBytes > FRAME_PLAIN_BYTES) throw damagedLog();
    frames.push({ start, bytes, plainStart, plainBytes });
    start += bytes;
    plainStart += plainBytes;
  }
  return { binary: footer.readUInt32LE(4) === 1, frames };
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const block = Buffer.alloc(length);
  if (position < 0) throw damagedLog();
  const { bytesRead } = await handle.read(block, 0, length, position);
  if (bytesRead < length) throw damagedLog();
  return block;
}

export const damagedLog = (cause?: unknown): GantryError =>
  new GantryError("corrupt", "A compressed log file is damaged", { cause });
