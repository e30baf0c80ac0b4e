// Takes the tar of a package's files (dpkg-deb --fsys-tarfile) apart, so that those of many can be
// joined to one stream: the end of the archive goes, and names beneath /bin, /sbin and /lib* move
// to /usr, where the links of a merged file system lead. Pure; a package fits into memory.

import { GantryError } from "../../base/index.ts";

const BLOCK = 512;
const NAME_BYTES = 100;
const MERGED = /^(?:\.\/|\/)?(bin|sbin|lib|lib32|lib64|libx32|libo32)(\/.*)?$/;

/** The folders that are links into /usr, on this architecture. */
export function mergedFolders(architecture: string): string[] {
  const common = ["bin", "sbin", "lib"];
  const wide = ["amd64", "ppc64el", "loong64", "mips64el"].includes(architecture);
  return wide ? [...common, "lib64"] : common;
}

/** The entries of `tar` without its end, in pieces. */
export function packageEntries(tar: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  const long = new Set<string>();
  let at = 0;
  for (;;) {
    const header = tar.subarray(at, at + BLOCK);
    if (header.length < BLOCK) throw damaged();
    if (header.every((byte) => byte === 0)) return pieces;
    const size = octal(header, 124, 12);
    const end = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (end > tar.length) throw damaged();
    const type = header.toString("latin1", 156, 157);
    if (type === "L" || type === "K") {
      const name = tar.toString("latin1", at + BLOCK, at + BLOCK + size).replace(/\0+$/, "");
      pieces.push(longName(header, type === "L" ? (moved(name) ?? name) : movedLink(name), type));
      long.add(type);
    } else {
      const headers = moveHeader(header, type, long);
      if (headers.length > 0) pieces.push(...headers, tar.subarray(at + BLOCK, end));
      long.clear();
    }
    at = end;
  }
}

function damaged(): GantryError {
  return new GantryError("corrupt", "a package's archive of files is damaged");
}

function octal(header: Buffer, at: number, length: number): number {
  const text = header.toString("latin1", at, at + length).replace(/[\0 ]+/g, "");
  if (!/^[0-7]+$/.test(text)) throw damaged();
  return Number.parseInt(text, 8);
}

/** Where the merged root has it; undefined for the folder that is a link there. */
function moved(name: string): string | undefined {
  const [, top, rest = ""] = MERGED.exec(name) ?? [];
  if (top === undefined) return name;
  return rest === "" || rest === "/" ? undefined : `./usr/${top}${rest}`;
}

function cString(header: Buffer, at: number): string {
  const field = header.subarray(at, at + NAME_BYTES);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end < 0 ? NAME_BYTES : end);
}

/** A hard link's target is a name of the archive; a symlink leads where it says. */
function movedLink(name: string): string {
  return moved(name) ?? name;
}

/** The header, after the long names that it may need now; nothing for a folder that is a link.
 * `long`: names that stand in an entry of their own before. */
function moveHeader(header: Buffer, type: string, long: ReadonlySet<string>): Buffer[] {
  const copy = Buffer.from(header);
  const headers: Buffer[] = [];
  if (!long.has("L")) {
    const name = moved(cString(header, 0));
    if (name === undefined && type === "5") return [];
    if (name !== undefined) headers.push(...setName(copy, 0, name, "L"));
  }
  if (type === "1" && !long.has("K")) {
    headers.push(...setName(copy, 157, movedLink(cString(header, 157)), "K"));
  }
  seal(copy);
  return [...headers, copy];
}

/** Returns the entry that carries the name where it does not fit. */
function setName(header: Buffer, at: number, name: string, type: "L" | "K"): Buffer[] {
  header.fill(0, at, at + NAME_BYTES);
  header.write(name.slice(0, NAME_BYTES), at, "latin1");
  return name.length > NAME_BYTES ? [longName(header, name, type)] : [];
}

/** GNU: the name (L) or the link (K) of the entry that follows. */
function longName(like: Buffer, name: string, type: "L" | "K"): Buffer {
  const header = Buffer.from(like);
  header.fill(0, 0, NAME_BYTES);
  header.write("././@LongLink", 0, "latin1");
  header.write(type, 156, "latin1");
  const body = Buffer.from(`${name}\0`, "latin1");
  header.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  seal(header);
  return Buffer.concat([header, body, Buffer.alloc(-body.length & (BLOCK - 1))]);
}

/** Writes the checksum of a header. */
function seal(header: Buffer): void {
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
