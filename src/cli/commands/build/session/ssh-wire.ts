// What ssh's keys and agents are written in (RFC 4251, section 5): strings with their length before
// them, integers of any size. Whoever reads is held to the bytes that are there.

import { GantryError } from "../../../../base/index.ts";

export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    return this.#take(4).readUInt32BE();
  }

  string(): Buffer {
    return this.#take(this.number());
  }

  text(): string {
    return this.string().toString("latin1");
  }

  /** What comes next without taking it. */
  starts(prefix: string): boolean {
    return this.#bytes.subarray(this.#at, this.#at + prefix.length).toString("latin1") === prefix;
  }

  skip(count: number): void {
    this.#take(count);
  }

  #take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) {
      throw new GantryError("invalid", "it ends too early");
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}

export function sshNumber(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function sshString(value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  return Buffer.concat([sshNumber(bytes.length), bytes]);
}

/** A number without a sign, given as its bytes. */
export function sshInteger(value: Uint8Array): Buffer {
  let start = 0;
  while (start < value.length && value[start] === 0) start++;
  const bytes = value.subarray(start);
  return sshString((bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}
