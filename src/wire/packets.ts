// fsutil's packets, read and written by hand: a folder is one message for each file, and this is
// where its transfer spends its time. Field numbers as in src/buildkit/proto/fsutil.proto.

import { constants } from "node:fs";
import { FieldReader } from "./fields.ts";
import { goMode, unixMode } from "./modes.ts";

export const PACKET = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const;

/** A file as it travels. */
export interface FileStat {
  path: string;
  /** As stat(2): kind and permissions. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  modifiedNs: bigint;
  linkname: string;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface Packet {
  /** One of PACKET. */
  type: number;
  id: number;
  /** Undefined in the last packet of that type. */
  stat: FileStat | undefined;
  data: Buffer;
}

const NONE: Buffer = Buffer.alloc(0);

/** Throws corrupt when the bytes are no packet. */
export function readPacket(bytes: Buffer): Packet {
  const reader = new FieldReader(bytes);
  const packet: Packet = { type: PACKET.stat, id: 0, stat: undefined, data: NONE };
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

function readStat(bytes: Buffer): FileStat {
  const reader = new FieldReader(bytes);
  const xattrs = new Map<string, Uint8Array>();
  const file = {
    // A regular file that nobody may read has no mode on the wire.
    ...{ path: "", mode: constants.S_IFREG, uid: 0, gid: 0, size: 0, modifiedNs: 0n, linkname: "" },
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
  const reader = new FieldReader(bytes);
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

const CHUNK_BYTES = 64 * 1024;
/** Less is copied out of the writer's buffer rather than handed on with it. */
const COPIED_BYTES_MAX = 4 * 1024;
const FRAME_HEADER_BYTES = 5;
/** At most, without the text and bytes in them. */
const PACKET_BYTES = 32;
const STAT_BYTES = 96;
const XATTR_BYTES = 24;

/** Writes packets, each a gRPC frame, one after another into one buffer. */
export class PacketWriter {
  #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** What was written; the writer begins anew. */
  take(): Buffer {
    const written = this.#buffer.subarray(0, this.#at);
    this.#at = 0;
    if (written.length < COPIED_BYTES_MAX) return Buffer.from(written);
    this.#buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    return written;
  }

  write({
    type,
    id = 0,
    stat,
    data = NONE,
  }: {
    type: number;
    id?: number;
    stat?: FileStat | undefined;
    data?: Uint8Array;
  }): void {
    this.#reserve(PACKET_BYTES + (stat ? statRoom(stat) : 0) + data.length);
    const start = this.#at;
    this.#at += FRAME_HEADER_BYTES;
    this.#number(0x08, type);
    if (stat) this.#stat(stat);
    this.#number(0x18, id);
    if (data.length > 0) this.#bytes(0x22, data);
    this.#buffer[start] = 0;
    this.#buffer.writeUInt32BE(this.#at - start - FRAME_HEADER_BYTES, start + 1);
  }

  /** Its length is known only afterwards: four bytes hold it, as a varint may have needless
   * continuation bits. */
  #stat(file: FileStat): void {
    this.#buffer[this.#at] = 0x12;
    const start = this.#at + 5;
    this.#at = start;
    this.#text(0x0a, file.path);
    this.#number(0x10, goMode(file.mode));
    this.#number(0x18, file.uid);
    this.#number(0x20, file.gid);
    this.#number(0x28, file.size);
    this.#big(0x30, file.modifiedNs);
    this.#text(0x3a, file.linkname);
    this.#number(0x40, file.devMajor);
    this.#number(0x48, file.devMinor);
    for (const [name, value] of file.xattrs) this.#xattr(Buffer.from(name), value);
    const length = this.#at - start;
    for (let index = 0; index < 4; index++) {
      const more = index < 3 ? 0x80 : 0;
      this.#buffer[start - 4 + index] = ((length >>> (7 * index)) & 0x7f) | more;
    }
  }

  #xattr(name: Buffer, value: Uint8Array): void {
    const bytes = name.length + value.length + 2;
    this.#buffer[this.#at++] = 0x52;
    this.#varint(bytes + varintBytes(name.length) + varintBytes(value.length));
    this.#bytes(0x0a, name);
    this.#bytes(0x12, value);
  }

  #reserve(room: number): void {
    const needed = this.#at + room;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
    }
    this.#buffer[this.#at++] = rest;
  }

  #number(tag: number, value: number): void {
    if (value === 0) return;
    this.#buffer[this.#at++] = tag;
    this.#varint(value);
  }

  #big(tag: number, value: bigint): void {
    if (value === 0n) return;
    this.#buffer[this.#at++] = tag;
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) {
      this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80;
    }
    this.#buffer[this.#at++] = Number(rest);
  }

  #bytes(tag: number, bytes: Uint8Array): void {
    this.#buffer[this.#at++] = tag;
    this.#varint(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #text(tag: number, text: string): void {
    if (text === "") return;
    this.#buffer[this.#at++] = tag;
    this.#varint(Buffer.byteLength(text));
    this.#at += this.#buffer.write(text, this.#at);
  }
}

/** As much as a file can take; a character is at most three bytes. */
function statRoom({ path, linkname, xattrs }: FileStat): number {
  let room = STAT_BYTES + 3 * (path.length + linkname.length);
  for (const [name, value] of xattrs) room += XATTR_BYTES + 3 * name.length + value.length;
  return room;
}

function varintBytes(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count++;
  return count;
}
