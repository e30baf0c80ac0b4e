// gRPC's framing: each message has a flag byte (compressed or not) and its length before it.

import type { Http2Stream } from "node:http2";
import { GantryError } from "../base/index.ts";

const HEADER_BYTES = 5;
/** As BuildKit's; a longer one is an attack or a mistake. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** A message with its header, in one piece. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, HEADER_BYTES);
  return frame;
}

/** Writes to a call's stream. A promise where the other side has to catch up first. */
export function sendBytes(stream: Http2Stream, bytes: Uint8Array): Promise<void> | undefined {
  if (stream.write(bytes)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}

/** Cuts a stream of bytes into messages. A message that lies within one chunk is a view of it. */
export class FrameReader {
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** How many bytes the next message needs with its header; known once the header is there. */
  #wanted = HEADER_BYTES;

  /** Throws corrupt when the bytes are no messages. */
  push(chunk: Buffer, each: (message: Buffer) => void): void {
    let bytes = chunk;
    if (this.#restBytes > 0) {
      this.#rest.push(chunk);
      this.#restBytes += chunk.length;
      if (this.#restBytes < this.#wanted) return;
      bytes = Buffer.concat(this.#rest, this.#restBytes);
      this.#rest = [];
      this.#restBytes = 0;
    }
    let at = 0;
    for (;;) {
      const there = bytes.length - at;
      this.#wanted = there < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + lengthAt(bytes, at);
      if (there < this.#wanted) break;
      each(bytes.subarray(at + HEADER_BYTES, at + this.#wanted));
      at += this.#wanted;
    }
    if (at === bytes.length) return;
    this.#rest = [bytes.subarray(at)];
    this.#restBytes = bytes.length - at;
  }

  /** Whether a message has begun and not ended. */
  get isCut(): boolean {
    return this.#restBytes > 0;
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  if (bytes[at] !== 0) throw new GantryError("corrupt", "compressed gRPC messages are not read");
  const length = bytes.readUInt32BE(at + 1);
  if (length <= MESSAGE_BYTES_MAX) return length;
  throw new GantryError("corrupt", `a gRPC message of ${length} bytes is longer than allowed`);
}
