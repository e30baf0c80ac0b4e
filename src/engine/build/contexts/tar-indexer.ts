// Reads an uploaded tar as it comes and makes the index of its files: names, metadata, the digest
// of each content and where in the tar it stands. The tar itself is the pack. Archives are
// strangers': sizes are checked before they are used. Sparse files and other oddities are not for
// it (TooOdd).

import { createHash, type Hash, hash } from "node:crypto";
import { GantryError } from "../../../base/index.ts";
import { type FileNode, type FileTree, folderNode, travels } from "./file-tree.ts";
import { decodeName } from "./names.ts";
import { TooOdd, TreeBuilder } from "./tree-builder.ts";

const BLOCK = 512;
/** As the native reader, and Go's. */
const EXTENSION_BYTES_MAX = 1 << 20;
const EXTENSIONS_MAX = 16;
const NANOSECONDS = 1_000_000_000n;
/** Nothing: what such headers say counts for no file of a context. */
const IGNORED = new Set(["g", "V"]);

interface Pending {
  path?: string;
  link?: string;
  size?: number;
  mtimeNs?: bigint;
  xattrs: [string, Buffer][];
}

type State =
  | { kind: "header" }
  | { kind: "extension"; type: string; size: number }
  | { kind: "content"; node: FileNode; left: number; hash: Hash | undefined; padding: number }
  | { kind: "skip"; left: number; padding: number }
  | { kind: "end" };

export class TarIndexer {
  readonly #builder = new TreeBuilder();
  #state: State = { kind: "header" };
  #rest: Buffer = Buffer.alloc(0);
  /** Of the first byte of what is being taken. */
  #offset = 0;
  #pending: Pending = { xattrs: [] };
  #extensions = 0;
  #sawZeros = false;

  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length > 0) {
      const taken = this.#take(bytes);
      if (taken === 0) break;
      this.#offset += taken;
      bytes = bytes.subarray(taken);
    }
    this.#rest = bytes.length === 0 ? bytes : Buffer.from(bytes);
  }

  /** The index. Throws corrupt when the tar was cut. The zeros after the last content may lack, as
   * for Go: `docker build -f` with a file from outside the context sends such. */
  end(): FileTree {
    const state = this.#state;
    const isWhole =
      state.kind === "end" ||
      (state.kind === "header" && this.#rest.length === 0) ||
      (state.kind === "skip" && state.left <= state.padding);
    if (!isWhole || this.#extensions > 0) throw new GantryError("corrupt", "unexpected EOF");
    return this.#builder.finish();
  }

  /** Returns how many bytes it took; 0 when it needs more. */
  #take(bytes: Buffer): number {
    const state = this.#state;
    switch (state.kind) {
      case "end":
        return bytes.length;
      case "skip": {
        const taken = Math.min(bytes.length, state.left);
        state.left -= taken;
        if (state.left === 0) this.#state = { kind: "header" };
        return taken;
      }
      case "content":
        return this.#content(state, bytes);
      case "extension": {
        if (bytes.length < state.size) return 0;
        this.#extension(state.type, bytes.subarray(0, state.size));
        this.#skip(0, padding(state.size));
        return state.size;
      }
      case "header": {
        if (bytes.length < BLOCK) return 0;
        this.#header(bytes.subarray(0, BLOCK));
        return BLOCK;
      }
    }
  }

  #skip(count: number, padding: number): void {
    const left = count + padding;
    this.#state = left === 0 ? { kind: "header" } : { kind: "skip", left, padding };
  }

  #content(state: State & { kind: "content" }, bytes: Buffer): number {
    const { node } = state;
    if (state.hash === undefined && bytes.length >= state.left) {
      const taken = state.left;
      node.digest = hash("sha256", bytes.subarray(0, taken), "hex");
      this.#skip(0, state.padding);
      return taken;
    }
    state.hash ??= createHash("sha256");
    const part = bytes.subarray(0, state.left);
    state.hash.update(part);
    state.left -= part.length;
    if (state.left === 0) {
      node.digest = state.hash.digest("hex");
      this.#skip(0, state.padding);
    }
    return part.length;
  }

  #header(header: Buffer): void {
    if (header[0] === 0 && header.every((byte) => byte === 0)) {
      if (this.#extensions > 0) throw damaged();
      if (this.#sawZeros) this.#state = { kind: "end" };
      this.#sawZeros = true;
      return;
    }
    if (this.#sawZeros) throw damaged();
    checkSum(header);
    const type = String.fromCharCode(header[156]!);
    const size = numberAt(header, 124, 12);
    if (size < 0) throw damaged();
    if (type === "x" || type === "L" || type === "K") {
      if (size > EXTENSION_BYTES_MAX) {
        throw new GantryError("corrupt", "archive/tar: header field too long");
      }
      if (++this.#extensions > EXTENSIONS_MAX) throw new TooOdd();
      this.#state = { kind: "extension", type, size };
      if (size === 0) this.#state = { kind: "header" };
      return;
    }
    if (IGNORED.has(type)) {
      this.#skip(size, padding(size));
      return;
    }
    this.#entry(header, type, size);
  }

  #extension(type: string, text: Buffer): void {
    if (type === "L") this.#pending.path = cString(text, 0, text.length);
    else if (type === "K") this.#pending.link = cString(text, 0, text.length);
    else readPax(text, this.#pending);
  }

  #entry(header: Buffer, flag: string, headerSize: number): void {
    const pending = this.#pending;
    this.#pending = { xattrs: [] };
    this.#extensions = 0;
    const name = pending.path ?? nameOf(header);
    const link = pending.link ?? cString(header, 157, 100);
    const size = pending.size ?? headerSize;
    const type = typeOf(flag, name);
    const facts = {
      ...{ mode: numberAt(header, 100, 8) & 0o7777, uid: 0, gid: 0, size: 0, link: "" },
      mtimeNs: pending.mtimeNs ?? BigInt(numberAt(header, 136, 12)) * NANOSECONDS,
      ...{ major: 0, minor: 0, xattrs: pending.xattrs, offset: 0, digest: "" },
    };
    switch (type) {
      case "0": {
        const node: FileNode = { ...facts, type, size, offset: this.#offset + BLOCK };
        this.#builder.add(name, node);
        if (size === 0) node.digest = EMPTY_DIGEST;
        else {
          const end = padding(size);
          this.#state = { kind: "content", node, left: size, hash: undefined, padding: end };
        }
        return;
      }
      case "1":
        this.#builder.link(name, link);
        break;
      case "2":
        this.#builder.add(name, { ...facts, type, link, mode: 0o777 });
        break;
      case "5":
        this.#builder.add(name, folderNode(facts));
        if (flag === "D") throw new TooOdd();
        break;
      case "3":
      case "4": {
        const [major, minor] = [numberAt(header, 329, 8), numberAt(header, 337, 8)];
        this.#builder.add(name, { ...facts, type, major, minor });
        break;
      }
      case "6":
        this.#builder.add(name, { ...facts, type });
        break;
      default:
        throw new TooOdd();
    }
    this.#state = { kind: "header" };
  }
}

export const EMPTY_DIGEST: string = hash("sha256", "", "hex");

function typeOf(flag: string, name: string): string {
  if (flag === "\0" || flag === "0" || flag === "7") return name.endsWith("/") ? "5" : "0";
  return flag;
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function nameOf(header: Buffer): string {
  const name = cString(header, 0, 100);
  const isPosix = header.toString("latin1", 257, 263) === "ustar\0";
  if (!isPosix || header[345] === 0) return name;
  const length = header.toString("latin1", 508, 512) === "tar\0" ? 131 : 155;
  return `${cString(header, 345, length)}/${name}`;
}

function cString(bytes: Buffer, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return decodeName(bytes.subarray(at, end < 0 || end > at + length ? at + length : end));
}

function damaged(): GantryError {
  return new GantryError("corrupt", "archive/tar: invalid tar header");
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += header[at]!;
  if (numberAt(header, 148, 8) !== sum) throw damaged();
}

/** Octal text with blanks around it, or base-256 when the first bit is set. */
function numberAt(header: Buffer, start: number, length: number): number {
  if (header[start]! & 0x80) return base256(header.subarray(start, start + length));
  let at = start;
  const end = start + length;
  while (at < end && (header[at] === 32 || header[at] === 0)) at++;
  let value = 0;
  for (; at < end && header[at] !== 32 && header[at] !== 0; at++) {
    const digit = header[at]! - 48;
    if (digit < 0 || digit > 7) throw damaged();
    value = value * 8 + digit;
  }
  return value;
}

/** Two's complement without the first bit. */
function base256(field: Buffer): number {
  let value = BigInt(field[0]! & 0x3f) - (field[0]! & 0x40 ? 0x40n : 0n);
  for (const byte of field.subarray(1)) value = (value << 8n) + BigInt(byte);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw damaged();
  return number;
}

/** "LENGTH KEY=VALUE\n" … */
function readPax(text: Buffer, pending: Pending): void {
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(32, at);
    const length = space < 0 ? 0 : Number(text.toString("latin1", at, space));
    const equals = text.indexOf(61, space);
    const end = at + length;
    if (!(length > 0) || end > text.length || equals < 0 || equals >= end) throw damaged();
    if (text[end - 1] !== 10) throw damaged();
    const key = text.toString("utf8", space + 1, equals);
    const value = text.subarray(equals + 1, end - 1);
    if (key.startsWith("GNU.sparse.")) throw new TooOdd();
    if (!key.startsWith("SCHILY.xattr.")) paxField(key, value, pending);
    else if (travels(key)) pending.xattrs.push([key, Buffer.from(value)]);
    at = end;
  }
}

function paxField(key: string, value: Buffer, pending: Pending): void {
  switch (key) {
    case "path":
      pending.path = decodeName(value);
      return;
    case "linkpath":
      pending.link = decodeName(value);
      return;
    case "size": {
      const size = Number(value.toString("latin1"));
      if (!Number.isSafeInteger(size) || size < 0) throw damaged();
      pending.size = size;
      return;
    }
    case "mtime":
      pending.mtimeNs = nanoseconds(value.toString("latin1"));
  }
}

/** Of "-1.5", which is one and a half second before the epoch. */
export function nanoseconds(text: string): bigint {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw damaged();
  const [, sign, seconds, fraction = ""] = match;
  const value = BigInt(seconds!) * NANOSECONDS + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -value : value;
}
