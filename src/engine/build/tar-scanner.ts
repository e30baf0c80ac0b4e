// Reads the tars that the native program writes (native/archive-write.c: ustar with pax headers),
// pushed in as chunks and handed on without a copy: a build looks at every file that it copies, so
// this must keep up with the disk. Archives of strangers are unpacked by the native program alone.

import { GantryError } from "../../base/index.ts";
import { decodeName } from "./contexts/names.ts";

const BLOCK = 512;
const PAX_BYTES_MAX = 1 << 20;

export interface TarFile {
  name: string;
  /** "0" a file, "1" a hard link, "2" a symlink, "3" and "4" devices, "5" a folder, "6" a fifo. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds, with fraction as text where there is one. */
  mtime: string;
  link: string;
  major: number;
  minor: number;
  /** SCHILY.xattr records: name and raw value. */
  xattrs: readonly [name: string, value: Buffer][];
}
export interface TarSink {
  file(file: TarFile): void;
  data(chunk: Buffer): void;
}

type Pax = { fields: Record<string, string>; xattrs: [string, Buffer][] };
const noPax = (): Pax => ({ fields: {}, xattrs: [] });

export class TarScanner {
  readonly #sink: TarSink;
  #rest: Buffer = Buffer.alloc(0);
  #content = 0;
  #padding = 0;
  /** Bytes of a pax header that are still to come. */
  #paxBytes = 0;
  #pax = noPax();
  #ended = false;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length > 0 && !this.#ended) {
      const taken = this.#take(bytes);
      if (taken === 0) break;
      bytes = bytes.subarray(taken);
    }
    this.#rest = this.#ended ? Buffer.alloc(0) : bytes;
  }

  /** Throws when the tar was cut. */
  end(): void {
    if (!this.#ended) throw new GantryError("corrupt", "unexpected EOF");
  }

  /** Returns how many bytes it took; 0 when it needs more. */
  #take(bytes: Buffer): number {
    if (this.#content > 0) {
      const part = bytes.subarray(0, this.#content);
      this.#content -= part.length;
      this.#sink.data(part);
      return part.length;
    }
    if (this.#padding > 0) {
      const taken = Math.min(bytes.length, this.#padding);
      this.#padding -= taken;
      return taken;
    }
    if (this.#paxBytes > 0) {
      if (bytes.length < this.#paxBytes) return 0;
      const taken = this.#paxBytes;
      this.#pax = paxOf(bytes.subarray(0, taken));
      this.#paxBytes = 0;
      this.#padding = padding(taken);
      return taken;
    }
    if (bytes.length < BLOCK) return 0;
    this.#header(bytes.subarray(0, BLOCK));
    return BLOCK;
  }

  #header(header: Buffer): void {
    if (header[0] === 0) {
      this.#ended = true;
      return;
    }
    const type = String.fromCharCode(header[156]!);
    const size = octal(header, 124, 12);
    if (type === "x") {
      if (size > PAX_BYTES_MAX) throw new GantryError("corrupt", "tar header is too long");
      this.#paxBytes = size;
      return;
    }
    const { fields, xattrs } = this.#pax;
    this.#pax = noPax();
    const file: TarFile = {
      name: fields["path"] ?? nameOf(header),
      type,
      mode: octal(header, 100, 8),
      uid: Number(fields["uid"] ?? octal(header, 108, 8)),
      gid: Number(fields["gid"] ?? octal(header, 116, 8)),
      size: Number(fields["size"] ?? size),
      mtime: fields["mtime"] ?? String(octal(header, 136, 12)),
      link: fields["linkpath"] ?? text(header, 157, 100),
      major: octal(header, 329, 8),
      minor: octal(header, 337, 8),
      xattrs,
    };
    if (type === "0") {
      this.#content = file.size;
      this.#padding = padding(file.size);
    }
    this.#sink.file(file);
  }
}

/** The zeros after `size` bytes. */
export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function nameOf(header: Buffer): string {
  const prefix = text(header, 345, 155);
  const name = text(header, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function text(header: Buffer, at: number, length: number): string {
  const end = header.indexOf(0, at);
  return decodeName(header.subarray(at, end < 0 || end > at + length ? at + length : end));
}

function octal(header: Buffer, at: number, length: number): number {
  let value = 0;
  for (let i = at; i < at + length; i++) {
    const digit = header[i]! - 48;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  return value;
}

/** "LENGTH KEY=VALUE\n" … */
function paxOf(bytes: Buffer): Pax {
  const pax = noPax();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.toString("latin1", at, space));
    const equals = bytes.indexOf(61, space);
    if (space < 0 || equals < 0 || !(length > 0) || at + length > bytes.length) {
      throw new GantryError("corrupt", "tar header is damaged");
    }
    const key = bytes.toString("utf8", space + 1, equals);
    const value = bytes.subarray(equals + 1, at + length - 1);
    if (key.startsWith("SCHILY.xattr.")) pax.xattrs.push([key, Buffer.from(value)]);
    else pax.fields[key] = decodeName(value);
    at += length;
  }
  return pax;
}
