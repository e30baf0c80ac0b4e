// WebSocket frames (RFC 6455), the server's side, as far as attach needs them: data both ways,
// ping, pong and close. Payloads are passed on as they come, so a frame's length needs no limit.

import { createHash } from "node:crypto";
import { GantryError } from "../base/index.ts";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONTROL_BYTES_MAX = 125;
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** The value of Sec-WebSocket-Accept for a client's Sec-WebSocket-Key. */
export function websocketAccept(key: string): string {
  return createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64");
}

/** One unmasked, final frame. */
export function encodeWebsocketFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  if (length < 126) {
    header[1] = length;
  } else if (length < 65_536) {
    header[1] = 126;
    header.writeUInt16BE(length, 2);
  } else {
    header[1] = 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, payload]);
}

interface Frame {
  opcode: number;
  left: number;
  mask: Buffer;
  maskAt: number;
}

/** Splits what a client sends. Yields data in parts, control frames whole. */
export class WebsocketDecoder {
  #pending: Buffer = Buffer.alloc(0);
  #frame: Frame | undefined;
  #control: Buffer[] = [];

  *push(chunk: Buffer): Generator<{ opcode: number; payload: Buffer }> {
    this.#pending = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    for (;;) {
      this.#frame ??= this.#header();
      if (this.#frame === undefined) return;
      const frame = this.#frame;
      const part = unmask(this.#pending.subarray(0, frame.left), frame);
      this.#pending = this.#pending.subarray(part.length);
      frame.left -= part.length;
      const isControl = frame.opcode >= OPCODE.close;
      if (isControl) this.#control.push(part);
      else if (part.length > 0) yield { opcode: frame.opcode, payload: part };
      if (frame.left > 0) return;
      this.#frame = undefined;
      if (isControl)
        yield { opcode: frame.opcode, payload: Buffer.concat(this.#control.splice(0)) };
    }
  }

  #header(): Frame | undefined {
    const bytes = this.#pending;
    if (bytes.length < 2) return undefined;
    const opcode = bytes[0]! & 0x0f;
    const short = bytes[1]! & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    if ((bytes[1]! & 0x80) === 0) throw bad("a client's frame must be masked");
    if ((bytes[0]! & 0x70) !== 0) throw bad("no extension was negotiated");
    if (opcode >= OPCODE.close && short > CONTROL_BYTES_MAX) throw bad("control frame too long");
    const headerBytes = 2 + lengthBytes + 4;
    if (bytes.length < headerBytes) return undefined;
    const left =
      lengthBytes === 0
        ? short
        : lengthBytes === 2
          ? bytes.readUInt16BE(2)
          : Number(bytes.readBigUInt64BE(2));
    const mask = Buffer.from(bytes.subarray(headerBytes - 4, headerBytes));
    this.#pending = bytes.subarray(headerBytes);
    return { opcode, left, mask, maskAt: 0 };
  }
}

function unmask(masked: Buffer, frame: Frame): Buffer {
  const out = Buffer.allocUnsafe(masked.length);
  for (let i = 0; i < masked.length; i++) {
    out[i] = masked[i]! ^ frame.mask[(frame.maskAt + i) & 3]!;
  }
  frame.maskAt = (frame.maskAt + masked.length) & 3;
  return out;
}

function bad(message: string): GantryError {
  return new GantryError("invalid", `WebSocket: ${message}`);
}
