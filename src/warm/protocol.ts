// The frames between the launcher (native/warm.h, which must agree) and a warm process:
// u8 type, u32 little-endian length, payload.

import { GantryError } from "../base/index.ts";

export const FRAME = {
  // from the launcher
  hello: 1,
  stdinData: 2,
  stdinEnd: 3,
  window: 4,
  signal: 5,
  nativeAnswer: 6,
  nativeEvent: 7,
  // to the launcher
  accept: 16,
  decline: 17,
  stdout: 18,
  stderr: 19,
  exit: 20,
  stdinWanted: 21,
  raw: 22,
  catchSignals: 23,
  native: 24,
} as const;

const FRAME_BYTES_MAX = 16 << 20;
const HEAD_BYTES = 5;

export function encodeFrame(type: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = type;
  head.writeUInt32LE(payload.byteLength, 1);
  return Buffer.concat([head, payload]);
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #buffer: Buffer = Buffer.alloc(0);

  *push(chunk: Buffer): Generator<{ type: number; payload: Buffer }> {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= HEAD_BYTES) {
      const length = this.#buffer.readUInt32LE(1);
      if (length > FRAME_BYTES_MAX) throw new GantryError("invalid", "Frame is too long");
      if (this.#buffer.length < HEAD_BYTES + length) return;
      const type = this.#buffer[0]!;
      const payload = this.#buffer.subarray(HEAD_BYTES, HEAD_BYTES + length);
      this.#buffer = this.#buffer.subarray(HEAD_BYTES + length);
      yield { type, payload };
    }
  }
}

export interface Hello {
  token: string;
  cwd: string;
  /** Which of stdin, stdout, stderr are terminals: "110". */
  terminals: string;
  /** Namespaces and root folder. */
  surroundings: string;
  /** Users, groups and umask. */
  identity: string;
  argv: string[];
  env: Record<string, string>;
}

/** Reads the NUL-terminated strings of a hello frame; undefined when they make no sense. */
export function decodeHello(payload: Buffer): Hello | undefined {
  const parts = payload.toString("utf8").split("\0");
  if (parts.pop() !== "" || parts.length < 6) return undefined;
  const [token, cwd, terminals, surroundings, identity, countText, ...rest] = parts as [
    string,
    string,
    string,
    string,
    string,
    string,
    ...string[],
  ];
  const count = Number(countText);
  if (!Number.isInteger(count) || count < 0 || count > rest.length) return undefined;
  const env: Record<string, string> = {};
  for (const pair of rest.slice(count)) {
    const equals = pair.indexOf("=", 1);
    if (equals > 0) env[pair.slice(0, equals)] ??= pair.slice(equals + 1);
  }
  return {
    token,
    cwd,
    terminals,
    surroundings,
    identity,
    argv: rest.slice(0, count),
    env,
  };
}
