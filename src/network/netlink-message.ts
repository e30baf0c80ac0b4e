// Writes and reads netlink messages (netlink(7)): one buffer may hold many messages, and values
// known only while a plan runs (descriptors, interface indexes) are left as patches that name
// their slot. Pure: bytes in, bytes out. Header fields are in host order, little-endian on every
// machine that Gantry supports; nftables wants big-endian attribute values (u32be).

import type { Patch } from "../native/index.ts";

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const HEADER_BYTES = 16;

export interface NetlinkData {
  data: Uint8Array;
  patches: Patch[];
}

/** A number now, or the slot that will hold it. */
export type Late = number | { slot: number };

export class NetlinkWriter {
  #buffer = new Uint8Array(512);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;
  #sequence = 0;
  #patches: Patch[] = [];

  /** One message; `body` writes what follows the 16-byte header. */
  message(type: number, flags: number, body: () => void): this {
    const start = this.#length;
    this.u32(0)
      .u16(type)
      .u16(flags | NLM_F_REQUEST)
      .u32(++this.#sequence)
      .u32(0);
    body();
    this.#align();
    this.#view.setUint32(start, this.#length - start, true);
    return this;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }
  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }
  u16be(value: number): this {
    return this.u8(value >> 8).u8(value & 0xff);
  }
  u32(value: Late): this {
    this.#reserve(4);
    if (typeof value === "number") this.#view.setUint32(this.#length, value >>> 0, true);
    else this.#patches.push({ offset: this.#length, slot: value.slot, width: 4 });
    this.#length += 4;
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** An attribute; `body` writes its value. */
  attribute(type: number, body: () => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    body();
    this.#view.setUint16(start, this.#length - start, true);
    this.#align();
    return this;
  }
  nest(type: number, body: () => void): this {
    return this.attribute(type | NLA_F_NESTED, body);
  }
  attrU8(type: number, value: number): this {
    return this.attribute(type, () => this.u8(value));
  }
  attrU16(type: number, value: number): this {
    return this.attribute(type, () => this.u16(value));
  }
  attrU32(type: number, value: Late): this {
    return this.attribute(type, () => this.u32(value));
  }
  attrU32be(type: number, value: number): this {
    return this.attribute(type, () => this.u16be((value >>> 16) & 0xffff).u16be(value & 0xffff));
  }
  attrBytes(type: number, value: Uint8Array): this {
    return this.attribute(type, () => this.bytes(value));
  }
  /** With the closing NUL. */
  attrString(type: number, value: string): this {
    return this.attribute(type, () => this.bytes(new TextEncoder().encode(`${value}\0`)));
  }

  finish(): NetlinkData {
    return { data: this.#buffer.slice(0, this.#length), patches: this.#patches };
  }

  #align(): void {
    while (this.#length % 4 !== 0) this.u8(0);
  }
  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + count));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }
}

export interface NetlinkMessage {
  type: number;
  flags: number;
  payload: Uint8Array;
}

/** Splits what the kernel answered; stops at the first malformed header. */
export function readMessages(data: Uint8Array): NetlinkMessage[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset + HEADER_BYTES <= data.length; ) {
    const length = view.getUint32(offset, true);
    if (length < HEADER_BYTES || offset + length > data.length) break;
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      payload: data.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += (length + 3) & ~3;
  }
  return messages;
}

/** Attributes by type (flags masked away); a repeated type keeps the last. */
export function readAttributes(data: Uint8Array, from = 0): Map<number, Uint8Array> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const attributes = new Map<number, Uint8Array>();
  for (let offset = from; offset + 4 <= data.length; ) {
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > data.length) break;
    attributes.set(
      view.getUint16(offset + 2, true) & NLA_TYPE_MASK,
      data.subarray(offset + 4, offset + length),
    );
    offset += (length + 3) & ~3;
  }
  return attributes;
}

/** The values of a list: attributes that are all of one type, in order. */
export function readList(data: Uint8Array | undefined): Uint8Array[] {
  const found: Uint8Array[] = [];
  if (!data) return found;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let offset = 0; offset + 4 <= data.length; ) {
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > data.length) break;
    found.push(data.subarray(offset + 4, offset + length));
    offset += (length + 3) & ~3;
  }
  return found;
}

export function readString(value: Uint8Array | undefined): string {
  if (!value) return "";
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

export function readU32(value: Uint8Array | undefined): number {
  if (!value || value.length < 4) return 0;
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, true);
}

export function readU32be(value: Uint8Array | undefined): number {
  if (!value || value.length < 4) return 0;
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, false);
}

/** For people and golden tests: one line of hex a message, patches marked with their slot. */
export function dumpMessages({ data, patches }: NetlinkData): string {
  const lines: string[] = [];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let offset = 0; offset + HEADER_BYTES <= data.length; ) {
    const length = view.getUint32(offset, true);
    const words: string[] = [];
    for (let at = offset; at < offset + length; at += 4) {
      const patch = patches.find((candidate) => candidate.offset === at);
      words.push(
        patch ? `<${patch.slot}>` : Buffer.from(data.subarray(at, at + 4)).toString("hex"),
      );
    }
    lines.push(words.join(" "));
    offset += (length + 3) & ~3;
  }
  return lines.join("\n");
}
