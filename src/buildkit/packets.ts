// fsutil's packets, read and written by hand: a folder is one message for each file, and this is
// where its transfer spends its time. Field numbers as in proto/fsutil.proto.

import { GantryError } from "../base/index.ts";
import type { ClientFile } from "../engine/index.ts";

export const STAT = 0;
export const REQ = 1;
export const DATA = 2;
export const FIN = 3;
export const ERR = 4;

export interface Packet {
  type: number;
  id: number;
  /** Undefined in the last STAT. */
  stat: ClientFile | undefined;
  data: Buffer;
}

const NONE: Buffer = Buffer.alloc(0);

/** Throws corrupt when the bytes are no packet. */
export function readPacket(bytes: Buffer): Packet {
  const reader = new Reader(bytes);
  const packet: Packet = { type: STAT, id: 0, stat: undefined, data: NONE };
  while (!reader.atEnd) {
    const tag = reader.number();
    if (tag === 0x08) packet.type = reader.number();
    else if (tag === 0x12) packet.stat = readStat(reader.bytes());
    else if (tag === 0x18) packet.id = reader.number() >>> 0;
    else if (tag === 0x22) packet.data = reader.bytes();
    else reader.skip(tag);
  }
  return packet;
}

function readStat(bytes: Buffer): ClientFile {
  const reader = new Reader(bytes);
  const xattrs = new Map<string, Uint8Array>();
  const file = {
    // A regular file that nobody may read has no mode on the wire.
    ...{ path: "", mode: S_IFREG, uid: 0, gid: 0, size: 0, modifiedNs: 0n, linkname: "" },
    ...{ devMajor: 0, devMinor: 0, xattrs },
  };
  while (!reader.atEnd) {
    const tag = reader.number();
    if (tag === 0x0a) file.path = reader.text();
    else if (tag === 0x10) file.mode = unixMode(reader.number());
    else if (tag === 0x18) file.uid = reader.number();
    else if (tag === 0x20) file.gid = reader.number();
    else if (tag === 0x28) file.size = reader.number();
    else if (tag === 0x30) file.modifiedNs = BigInt.asIntN(64, reader.big());
    else if (tag === 0x3a) file.linkname = reader.text();
    else if (tag === 0x40) file.devMajor = reader.number();
    else if (tag === 0x48) file.devMinor = reader.number();
    else if (tag === 0x52) readXattr(reader.bytes(), xattrs);
    else reader.skip(tag);
  }
  return file;
}

function readXattr(bytes: Buffer, into: Map<string, Uint8Array>): void {
  const reader = new Reader(bytes);
  let name = "";
  let value: Buffer = NONE;
  while (!reader.atEnd) {
    const tag = reader.number();
    if (tag === 0x0a) name = reader.text();
    else if (tag === 0x12) value = reader.bytes();
    else reader.skip(tag);
  }
  into.set(name, Buffer.from(value));
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A varint that a double can hold. */
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

  bytes(): Buffer {
    const length = this.number();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw broken();
    const found = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return found;
  }

  text(): string {
    return this.bytes().toString("utf8");
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

const broken = (): GantryError => new GantryError("corrupt", "the client sent a broken packet");

export function writePacket(packet: {
  type: number;
  id?: number;
  stat?: ClientFile;
  data?: Uint8Array;
}): Buffer {
  const writer = new Writer();
  writer.number(0x08, packet.type);
  if (packet.stat) writer.bytes(0x12, writeStat(packet.stat));
  writer.number(0x18, packet.id ?? 0);
  if (packet.data && packet.data.length > 0) writer.bytes(0x22, packet.data);
  return writer.finish();
}

function writeStat(file: ClientFile): Buffer {
  const writer = new Writer();
  writer.text(0x0a, file.path);
  writer.number(0x10, goMode(file.mode));
  writer.number(0x18, file.uid);
  writer.number(0x20, file.gid);
  writer.number(0x28, file.size);
  writer.big(0x30, BigInt.asUintN(64, file.modifiedNs));
  writer.text(0x3a, file.linkname);
  writer.number(0x40, file.devMajor);
  writer.number(0x48, file.devMinor);
  for (const [name, value] of file.xattrs) {
    const pair = new Writer();
    pair.text(0x0a, name);
    pair.bytes(0x12, value);
    writer.bytes(0x52, pair.finish());
  }
  return writer.finish();
}

class Writer {
  readonly #parts: Uint8Array[] = [];
  #small: number[] = [];

  number(tag: number, value: number): void {
    if (value === 0) return;
    this.#small.push(tag);
    this.#varint(value);
  }

  big(tag: number, value: bigint): void {
    if (value === 0n) return;
    this.#small.push(tag);
    for (let rest = value; ; rest >>= 7n) {
      const byte = Number(rest & 0x7fn);
      if (rest < 0x80n) return void this.#small.push(byte);
      this.#small.push(byte | 0x80);
    }
  }

  bytes(tag: number, value: Uint8Array): void {
    this.#small.push(tag);
    this.#varint(value.length);
    this.#parts.push(Uint8Array.from(this.#small), value);
    this.#small = [];
  }

  text(tag: number, value: string): void {
    if (value !== "") this.bytes(tag, Buffer.from(value, "utf8"));
  }

  finish(): Buffer {
    return Buffer.concat([...this.#parts, Uint8Array.from(this.#small)]);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#small.push((rest % 0x80) | 0x80);
    this.#small.push(rest);
  }
}

const S_IFMT = 0o170000;
/** Go's os.FileMode bits of each kind of stat(2), and of the bits beside the permissions. */
const KINDS: readonly (readonly [unix: number, go: number])[] = [
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
  [0o020000, 2 ** 26 + 2 ** 21],
  [0o060000, 2 ** 26],
];
const BITS: readonly (readonly [unix: number, go: number])[] = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
];
const GO_KINDS = 0x80000000 + 2 ** 27 + 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21 + 2 ** 19;
const S_IFREG = 0o100000;

/** Throws invalid for a kind of file that no Unix has. */
export function unixMode(go: number): number {
  const kindBits = (go & GO_KINDS) >>> 0;
  const kind = kindBits === 0 ? S_IFREG : KINDS.find(([, bits]) => bits === kindBits)?.[0];
  if (kind === undefined) {
    throw new GantryError("invalid", `a file of an unknown kind: mode ${go.toString(16)}`);
  }
  const bits = BITS.filter(([, bit]) => (go & bit) !== 0).reduce((sum, [unix]) => sum | unix, 0);
  return kind | bits | (go & 0o777);
}

export function goMode(unix: number): number {
  const kind = KINDS.find(([bits]) => bits === (unix & S_IFMT))?.[1] ?? 0;
  const bits = BITS.filter(([bit]) => (unix & bit) !== 0).reduce((sum, [, go]) => sum + go, 0);
  return kind + bits + (unix & 0o777);
}
