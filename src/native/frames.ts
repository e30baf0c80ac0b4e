// Frames of native/WIRE.md: the header, the splitting of a byte stream into frames, and the
// reading of payloads. Integers are little-endian.

import { constants } from "node:os";
import { GantryError } from "../base/index.ts";

export const WIRE_VERSION = 1;
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
const HEADER_BYTES = 12;

export const frameType = {
  run: 1,
  create: 2,
  cancel: 3,
  pool: 4,
  ok: 16,
  fail: 17,
  control: 32,
  attach: 33,
  exec: 34,
  release: 35,
  kill: 36,
  resize: 37,
  hello: 48,
  exit: 49,
  oom: 50,
  log: 51,
} as const;

export type Frame = { id: number; type: number; payload: Buffer };

/** Returns header and payload as one buffer. */
export function encodeFrame(id: number, type: number, ...payload: Uint8Array[]): Buffer {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  if (length > FRAME_BYTES_MAX) {
    throw new GantryError("invalid", `A plan of ${length} bytes is over the limit of 16 MiB`);
  }
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  header.writeUInt32LE(id >>> 0, 4);
  header.writeUInt16LE(type, 8);
  header.writeUInt16LE(WIRE_VERSION, 10);
  return Buffer.concat([header, ...payload]);
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #parts: Buffer[] = [];
  #have = 0;

  /** Takes a chunk, returns the frames that it completes. */
  push(chunk: Buffer): Frame[] {
    this.add(chunk);
    const frames: Frame[] = [];
    for (let frame = this.next(); frame; frame = this.next()) frames.push(frame);
    return frames;
  }

  add(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#parts.push(chunk);
    this.#have += chunk.length;
  }

  /** Returns one frame if it is there; `rest()` is what follows it. */
  next(): Frame | undefined {
    if (this.#have < HEADER_BYTES) return undefined;
    // Joined when the frame is whole: a large one comes in hundreds of chunks.
    const first = this.#parts[0]!;
    const head = first.length >= HEADER_BYTES ? first : this.#joined();
    const length = head.readUInt32LE(0);
    if (length > FRAME_BYTES_MAX) {
      throw new GantryError("internal", `The native program sent a frame of ${length} bytes`);
    }
    const total = HEADER_BYTES + length;
    if (this.#have < total) return undefined;
    const data = this.#joined();
    this.#keep(data.subarray(total));
    return {
      id: data.readUInt32LE(4),
      type: data.readUInt16LE(8),
      payload: data.subarray(HEADER_BYTES, total),
    };
  }

  rest(): Buffer {
    const data = this.#joined();
    this.#keep(Buffer.alloc(0));
    return data;
  }

  #joined(): Buffer {
    if (this.#parts.length !== 1) this.#parts = [Buffer.concat(this.#parts)];
    return this.#parts[0]!;
  }

  #keep(data: Buffer): void {
    this.#parts = data.length === 0 ? [] : [data];
    this.#have = data.length;
  }
}

/** Reads the fields of a payload one after another. */
export class Cursor {
  #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }
  get left(): number {
    return this.#data.length - this.#at;
  }
  u8(): number {
    return this.#data.readUInt8(this.#step(1));
  }
  u32(): number {
    return this.#data.readUInt32LE(this.#step(4));
  }
  i32(): number {
    return this.#data.readInt32LE(this.#step(4));
  }
  u64(): bigint {
    return this.#data.readBigUInt64LE(this.#step(8));
  }
  i64(): bigint {
    return this.#data.readBigInt64LE(this.#step(8));
  }
  bytes(length: number): Buffer {
    const start = this.#step(length);
    return this.#data.subarray(start, start + length);
  }
  str(): string {
    const length = this.u32();
    const text = this.bytes(length).toString("utf8");
    this.#step(1);
    return text;
  }
  #step(length: number): number {
    const start = this.#at;
    if (start + length > this.#data.length) {
      throw new GantryError("internal", "The native program sent a truncated answer");
    }
    this.#at += length;
    return start;
  }
}

const errnoNames = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!errnoNames.has(number)) errnoNames.set(number, name);
}
// Linux numbers that Node does not name.
for (const [number, name] of [
  [6, "ENXIO"],
  [8, "ENOEXEC"],
  [15, "ENOTBLK"],
  [26, "ETXTBSY"],
  [35, "EDEADLK"],
  [116, "ESTALE"],
  [117, "EUCLEAN"],
  [122, "EDQUOT"],
  [123, "ENOMEDIUM"],
  [126, "ENOKEY"],
] as const) {
  if (!errnoNames.has(number)) errnoNames.set(number, name);
}

/** "ENOENT" of 2; "E999" of a number without a name. */
export function errnoName(number: number): string {
  if (number === constants.errno.EAGAIN) return "EAGAIN";
  if (number === constants.errno.EOPNOTSUPP) return "EOPNOTSUPP";
  return errnoNames.get(number) ?? `E${number}`;
}
