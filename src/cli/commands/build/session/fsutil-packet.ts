// The packets with which folders travel (fsutil's), written and read by hand: a context has one for
// each file. The messages are those of src/buildkit/proto/fsutil.proto.

import { GantryError } from "../../../../base/index.ts";

export const PACKET = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const;

/** A file as it travels; the mode is Go's os.FileMode. */
export interface FileStat {
  path: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  modifiedNs: bigint;
  linkname: string;
  devMajor: number;
  devMinor: number;
}
export interface Packet {
  type: number;
  stat?: FileStat;
  id: number;
  data: Buffer;
}

export const GO_MODE = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  pipe: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  character: 2 ** 21,
  sticky: 2 ** 20,
  permissions: 0o777,
} as const;

/** stat(2)'s mode → Go's. */
export function goMode(mode: number): number {
  let out = mode & 0o777;
  switch (mode & 0o170000) {
    case 0o040000:
      out += GO_MODE.directory;
      break;
    case 0o120000:
      out += GO_MODE.symlink;
      break;
    case 0o060000:
      out += GO_MODE.device;
      break;
    case 0o020000:
      out += GO_MODE.device + GO_MODE.character;
      break;
    case 0o010000:
      out += GO_MODE.pipe;
      break;
    case 0o140000:
      out += GO_MODE.socket;
  }
  if (mode & 0o4000) out += GO_MODE.setuid;
  if (mode & 0o2000) out += GO_MODE.setgid;
  if (mode & 0o1000) out += GO_MODE.sticky;
  return out;
}

/** Writes framed packets one after another into a buffer that is handed on when it is full. */
export class PacketWriter {
  #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** What was written; the writer begins anew. */
  take(): Buffer {
    const out = this.#buffer.subarray(0, this.#at);
    this.#buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    this.#at = 0;
    return out;
  }

  stat(stat: FileStat | undefined): void {
    const start = this.#begin(
      stat === undefined ? 0 : STAT_BYTES + 3 * stat.path.length + 3 * stat.linkname.length,
    );
    if (stat !== undefined) {
      // Field 2 with a length that is known only afterwards: three bytes hold it, as a varint may
      // have needless continuation bits.
      this.#byte(0x12);
      const lengthAt = this.#at;
      this.#at += 3;
      this.#text(0x0a, stat.path);
      this.#number(0x10, stat.mode);
      this.#number(0x18, stat.uid);
      this.#number(0x20, stat.gid);
      this.#number(0x28, stat.size);
      this.#big(0x30, stat.modifiedNs);
      this.#text(0x3a, stat.linkname);
      this.#number(0x40, stat.devMajor);
      this.#number(0x48, stat.devMinor);
      const length = this.#at - lengthAt - 3;
      this.#buffer[lengthAt] = (length & 0x7f) | 0x80;
      this.#buffer[lengthAt + 1] = ((length >> 7) & 0x7f) | 0x80;
      this.#buffer[lengthAt + 2] = length >> 14;
    }
    this.#end(start);
  }

  request(id: number): void {
    const start = this.#begin(PACKET_BYTES);
    this.#number(0x08, PACKET.request);
    this.#number(0x18, id);
    this.#end(start);
  }

  /** A piece of a file; none: its end. */
  data(id: number, bytes: Uint8Array): void {
    const start = this.#begin(PACKET_BYTES + bytes.byteLength);
    this.#number(0x08, PACKET.data);
    this.#number(0x18, id);
    if (bytes.byteLength > 0) {
      this.#byte(0x22);
      this.#varint(bytes.byteLength);
      this.#buffer.set(bytes, this.#at);
      this.#at += bytes.byteLength;
    }
    this.#end(start);
  }

  finish(): void {
    const start = this.#begin(PACKET_BYTES);
    this.#number(0x08, PACKET.finish);
    this.#end(start);
  }

  error(message: string): void {
    const bytes = Buffer.from(message);
    const start = this.#begin(PACKET_BYTES + bytes.length);
    this.#number(0x08, PACKET.error);
    this.#byte(0x22);
    this.#varint(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
    this.#end(start);
  }

  #begin(room: number): number {
    const needed = this.#at + room + PREFIX_BYTES + PACKET_BYTES;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, this.#at));
      this.#buffer = larger;
    }
    const start = this.#at;
    this.#at += PREFIX_BYTES;
    return start;
  }
  #end(start: number): void {
    this.#buffer[start] = 0;
    this.#buffer.writeUInt32BE(this.#at - start - PREFIX_BYTES, start + 1);
  }
  #byte(value: number): void {
    this.#buffer[this.#at++] = value;
  }
  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#at++] = rest;
  }
  #number(tag: number, value: number): void {
    if (value === 0) return;
    this.#byte(tag);
    this.#varint(value);
  }
  #big(tag: number, value: bigint): void {
    if (value === 0n) return;
    this.#byte(tag);
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#at++] = Number(rest);
  }
  #text(tag: number, text: string): void {
    if (text === "") return;
    this.#byte(tag);
    const bytes = Buffer.byteLength(text);
    this.#varint(bytes);
    this.#at += this.#buffer.write(text, this.#at);
  }
}

const CHUNK_BYTES = 64 * 1024;
const PREFIX_BYTES = 5;
const PACKET_BYTES = 32;
const STAT_BYTES = 96;

/** Reads one packet. Throws "invalid" for what is none. */
export function readPacket(message: Buffer): Packet {
  const packet: Packet = { type: 0, id: 0, data: EMPTY };
  const reader = new FieldReader(message);
  while (reader.next()) {
    if (reader.field === 1) packet.type = reader.number();
    else if (reader.field === 2) packet.stat = readStat(reader.bytes());
    else if (reader.field === 3) packet.id = reader.number();
    else if (reader.field === 4) packet.data = reader.bytes();
    else reader.skip();
  }
  return packet;
}

const EMPTY = Buffer.alloc(0);

function readStat(message: Buffer): FileStat {
  const stat: FileStat = {
    path: "",
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modifiedNs: 0n,
    linkname: "",
    devMajor: 0,
    devMinor: 0,
  };
  const reader = new FieldReader(message);
  while (reader.next()) {
    if (reader.field === 1) stat.path = reader.bytes().toString("utf8");
    else if (reader.field === 2) stat.mode = reader.number();
    else if (reader.field === 3) stat.uid = reader.number();
    else if (reader.field === 4) stat.gid = reader.number();
    else if (reader.field === 5) stat.size = reader.number();
    else if (reader.field === 6) stat.modifiedNs = BigInt.asIntN(64, reader.varint());
    else if (reader.field === 7) stat.linkname = reader.bytes().toString("utf8");
    else if (reader.field === 8) stat.devMajor = reader.number();
    else if (reader.field === 9) stat.devMinor = reader.number();
    else reader.skip();
  }
  return stat;
}

class FieldReader {
  readonly #data: Buffer;
  #at = 0;
  field = 0;
  #wire = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  next(): boolean {
    if (this.#at >= this.#data.length) return false;
    const tag = Number(this.varint());
    this.field = tag >>> 3;
    this.#wire = tag & 7;
    return true;
  }
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#data[this.#at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }
  number(): number {
    if (this.#wire !== 0) throw malformed();
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#data[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw malformed();
  }
  bytes(): Buffer {
    if (this.#wire !== 2) throw malformed();
    const length = Number(this.varint());
    const end = this.#at + length;
    if (end > this.#data.length) throw malformed();
    const out = this.#data.subarray(this.#at, end);
    this.#at = end;
    return out;
  }
  skip(): void {
    if (this.#wire === 0) this.varint();
    else if (this.#wire === 2) this.bytes();
    else if (this.#wire === 1) this.#at += 8;
    else if (this.#wire === 5) this.#at += 4;
    else throw malformed();
  }
}

function malformed(): GantryError {
  return new GantryError("invalid", "a malformed packet came");
}
