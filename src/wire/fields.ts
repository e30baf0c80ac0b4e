// Reads the fields of a protobuf message one after the other, without objects in between.

import { isUtf8 } from "node:buffer";
import { GantryError } from "../base/index.ts";

export class FieldReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A varint that a double can hold: a tag, too. */
  number(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 0x80;
      if (factor > 2 ** 63) throw broken();
    }
    if (!Number.isSafeInteger(value)) throw broken();
    return value;
  }

  big(): bigint {
    let low = 0;
    let factor = 1;
    for (let index = 0; index < 7; index++) {
      const byte = this.#byte();
      low += (byte & 0x7f) * factor;
      if (byte < 0x80) return BigInt(low);
      factor *= 0x80;
    }
    let value = BigInt(low);
    for (let shift = 49n; ; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
      if (shift >= 63n) throw broken();
    }
  }

  /** A view of the message. */
  bytes(): Buffer {
    const length = this.number();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw broken();
    const found = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return found;
  }

  /** Throws invalid, as Go's reader does: what is no text would come out as another. */
  text(): string {
    const bytes = this.bytes();
    const text = bytes.toString("utf8");
    if (text.includes("\ufffd") && !isUtf8(bytes)) {
      throw new GantryError(
        "invalid",
        `string field contains invalid UTF-8: ${JSON.stringify(text)}`,
      );
    }
    return text;
  }

  skip(tag: number): void {
    const wire = tag & 7;
    if (wire === 0) this.big();
    else if (wire === 1) this.#at += 8;
    else if (wire === 2) this.bytes();
    else if (wire === 5) this.#at += 4;
    else throw broken();
    if (this.#at > this.#bytes.length) throw broken();
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw broken();
    return byte;
  }
}

const broken = (): GantryError => new GantryError("corrupt", "a broken packet came");
