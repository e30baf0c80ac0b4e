// Docker's multiplexed stream: each frame is [stream, 0, 0, 0, length (u32, big-endian)] and then
// the bytes. Stream 1 is stdout, 2 stderr, 3 an error of the daemon itself.

export const STDCOPY_HEADER_BYTES = 8;
export type StdStream = 0 | 1 | 2 | 3;

/** One frame. */
export function encodeFrame(stream: StdStream, data: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(STDCOPY_HEADER_BYTES + data.length);
  frame.writeUInt32BE(stream << 24, 0);
  frame.writeUInt32BE(data.length, 4);
  frame.set(data, STDCOPY_HEADER_BYTES);
  return frame;
}

/** Splits frames that arrive in arbitrary pieces. Payloads are passed on as they come: a frame
 * may be delivered in several parts, so nothing is buffered but an incomplete header. */
export class FrameDecoder {
  #header = Buffer.alloc(STDCOPY_HEADER_BYTES);
  #headerLength = 0;
  #left = 0;

  *push(chunk: Uint8Array): Generator<{ stream: number; data: Uint8Array }> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const data = chunk.subarray(at, at + this.#left);
        at += data.length;
        this.#left -= data.length;
        yield { stream: this.#header[0] ?? 0, data };
        if (this.#left === 0) this.#headerLength = 0;
        continue;
      }
      const wanted = STDCOPY_HEADER_BYTES - this.#headerLength;
      const part = chunk.subarray(at, at + wanted);
      this.#header.set(part, this.#headerLength);
      this.#headerLength += part.length;
      at += part.length;
      if (this.#headerLength < STDCOPY_HEADER_BYTES) return;
      this.#left = this.#header.readUInt32BE(4);
      if (this.#left === 0) this.#headerLength = 0;
    }
  }
}
