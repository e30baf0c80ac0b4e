// Reads the outer tar of an image archive, entry by entry, from a stream. Only what such archives
// use (ustar, GNU long names, pax path, linkpath and size), and nothing is held in memory but one
// header at a time: extension headers have a limit, since a small compressed archive can hold a
// giant one. Trees of files are unpacked by the native program instead (native/archive-read.c).

import { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";

const BLOCK = 512;
/** As the native reader, and Go's. */
const EXTENSION_BYTES_MAX = 1 << 20;
const CHUNK_BYTES = 256 * 1024;

export interface TarEntry {
  name: string;
  /** The type flag: "0" a file, "1" a hard link, "2" a symlink, "5" a folder … */
  type: string;
  link: string;
  size: number;
  /** Must be read, or left alone, before the next entry is asked for. */
  body: Readable;
}

type Pending = { path?: string; linkpath?: string; size?: string };

/** The entries of a tar. Throws corrupt when it is damaged or cut. */
export async function* readTar(source: AsyncIterable<unknown>): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(source);
  let pending: Pending = {};
  for (;;) {
    const header = await reader.exactly(BLOCK);
    if (header === undefined && Object.keys(pending).length > 0) throw cutOff();
    if (header === undefined) return;
    if (header.every((byte) => byte === 0)) break;
    checkSum(header);
    const type = header.toString("latin1", 156, 157);
    if (type === "x" || type === "g" || type === "L" || type === "K") {
      const text = await extension(reader, numberAt(header, 124, 12));
      if (type === "x") pending = { ...pending, ...paxRecords(text) };
      if (type === "L") pending.path = cString(text);
      if (type === "K") pending.linkpath = cString(text);
      continue;
    }
    const entry = entryOf(header, type, pending);
    pending = {};
    const left = { bytes: entry.size };
    const body = Readable.from(content(reader, left), {
      objectMode: false,
      highWaterMark: CHUNK_BYTES,
    });
    body.on("error", () => {}); // whoever reads it sees it
    yield { ...entry, body };
    if (!body.closed) {
      const closed = new Promise((resolve) => body.once("close", resolve));
      body.destroy();
      await closed;
    }
    await reader.skip(left.bytes);
    if (!(await reader.passPadding(padding(entry.size)))) return;
  }
  await reader.drain();
}

function entryOf(header: Buffer, type: string, pending: Pending): Omit<TarEntry, "body"> {
  const posix = header.toString("latin1", 257, 263) === "ustar\0";
  const prefix = posix ? cString(header.subarray(345, 500)) : "";
  const short = cString(header.subarray(0, 100));
  const name = pending.path ?? (prefix === "" ? short : `${prefix}/${short}`);
  const isFile = type === "\0" || type === "0" || type === "7";
  const size = pending.size === undefined ? numberAt(header, 124, 12) : Number(pending.size);
  if (!Number.isSafeInteger(size) || size < 0) throw damaged();
  return {
    name,
    type: isFile ? (name.endsWith("/") ? "5" : "0") : type,
    link: pending.linkpath ?? cString(header.subarray(157, 257)),
    size: "123456".includes(type) ? 0 : size,
  };
}

async function* content(reader: ByteReader, left: { bytes: number }): AsyncGenerator<Buffer> {
  while (left.bytes > 0) {
    const chunk = await reader.some(left.bytes);
    left.bytes -= chunk.length;
    yield chunk;
  }
}

async function extension(reader: ByteReader, size: number): Promise<Buffer> {
  if (size > EXTENSION_BYTES_MAX) {
    throw new GantryError("corrupt", "archive/tar: header field too long");
  }
  const text = size === 0 ? Buffer.alloc(0) : await reader.exactly(size);
  await reader.skip(padding(size));
  return text ?? Buffer.alloc(0);
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

function cutOff(): GantryError {
  return new GantryError("corrupt", "unexpected EOF");
}

function damaged(): GantryError {
  return new GantryError("corrupt", "archive/tar: invalid tar header");
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += header[at]!;
  if (numberAt(header, 148, 8) !== sum) throw damaged();
}

/** Octal text, or base-256 when the first bit is set. */
function numberAt(header: Buffer, at: number, length: number): number {
  if (header[at]! & 0x80) {
    let value = BigInt(header[at]! & 0x7f);
    for (let n = at + 1; n < at + length; n++) value = (value << 8n) | BigInt(header[n]!);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged();
    return Number(value);
  }
  const text = header.toString("latin1", at, at + length).replace(/^[\0 ]+|[\0 ].*$/gs, "");
  if (!/^[0-7]*$/.test(text)) throw damaged();
  return text === "" ? 0 : Number.parseInt(text, 8);
}

/** "LENGTH KEY=VALUE\n" … */
function paxRecords(text: Buffer): Pending {
  const found: Record<string, string> = {};
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(" ", at);
    const length = Number(text.toString("latin1", at, space));
    const record = text.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (space < 0 || !(length > 0) || at + length > text.length || equals < 1) throw damaged();
    const key = record.slice(0, equals);
    if (key === "path" || key === "linkpath" || key === "size")
      found[key] = record.slice(equals + 1);
    at += length;
  }
  return found;
}

/** Takes a stream of chunks apart into the pieces that are asked for. */
class ByteReader {
  #source: AsyncIterator<unknown>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<unknown>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Whether there is more. */
  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return false;
      this.#chunk = value as Buffer;
    }
    return true;
  }

  /** Between 1 and `max` bytes. */
  async some(max: number): Promise<Buffer> {
    if (!(await this.#fill())) throw cutOff();
    const taken = this.#chunk.subarray(0, max);
    this.#chunk = this.#chunk.subarray(taken.length);
    return taken;
  }

  /** `count` bytes; undefined at the end of the stream. */
  async exactly(count: number): Promise<Buffer | undefined> {
    if (!(await this.#fill())) return undefined;
    const parts: Buffer[] = [];
    for (let left = count; left > 0; left -= parts.at(-1)!.length)
      parts.push(await this.some(left));
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) left -= (await this.some(left)).length;
  }

  /** False where the stream ends before: zeros after the last content may lack, as for Go. */
  async passPadding(count: number): Promise<boolean> {
    for (let left = count; left > 0; ) {
      if (!(await this.#fill())) return false;
      left -= (await this.some(left)).length;
    }
    return true;
  }

  async drain(): Promise<void> {
    while (await this.#fill()) this.#chunk = Buffer.alloc(0);
  }
}
