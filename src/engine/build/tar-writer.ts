// Writes the headers of tars that the native program unpacks: what ustar cannot say goes into a pax
// header in front.

import { encodeName } from "./contexts/names.ts";
import { padding, type TarFile } from "./tar-scanner.ts";

const BLOCK = 512;
const OCTAL_7 = 0o7777777;
const OCTAL_11 = 0o77777777777;

/** The header of `file`; its content and `contentEnd` follow. */
export function fileHeader(file: TarFile): Buffer {
  const records = paxRecords(file);
  if (records.length === 0) return block(file, file.name);
  const pax = Buffer.concat(records);
  const head = block({ ...BLANK, type: "x", size: pax.length }, "PaxHeaders/entry");
  return Buffer.concat([head, pax, contentEnd(pax.length), block(file, file.name)]);
}

/** The zeros after `size` bytes of content. */
export function contentEnd(size: number): Buffer {
  return Buffer.alloc(padding(size));
}

export const tarEnd: Buffer = Buffer.alloc(2 * BLOCK);

export const BLANK: TarFile = {
  ...{ name: "", type: "0", mode: 0o644, uid: 0, gid: 0, size: 0, mtime: "0", link: "" },
  ...{ major: 0, minor: 0, xattrs: [] },
};

function paxRecords(file: TarFile): Buffer[] {
  const records: Buffer[] = [];
  if (!fits(file.name)) records.push(record("path", file.name));
  if (!fits(file.link)) records.push(record("linkpath", file.link));
  if (file.uid > OCTAL_7) records.push(record("uid", String(file.uid)));
  if (file.gid > OCTAL_7) records.push(record("gid", String(file.gid)));
  if (file.size > OCTAL_11) records.push(record("size", String(file.size)));
  if (!plainTime(file.mtime)) records.push(record("mtime", file.mtime));
  for (const [name, value] of file.xattrs) records.push(record(name, value));
  return records;
}

const fits = (text: string): boolean => text.length <= 100 && /^[\x20-\x7e]*$/.test(text);
const plainTime = (text: string): boolean => /^\d+$/.test(text) && Number(text) <= OCTAL_11;

/** "LENGTH KEY=VALUE\n", where LENGTH counts its own digits. */
function record(key: string, value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? encodeName(value) : value;
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytes, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) {
    length = String(length).length + rest.length;
  }
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function block(file: TarFile, name: string): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100, "utf8");
  put(header, 100, 7, file.mode & 0o7777);
  put(header, 108, 7, file.uid > OCTAL_7 ? 0 : file.uid);
  put(header, 116, 7, file.gid > OCTAL_7 ? 0 : file.gid);
  put(header, 124, 11, file.size > OCTAL_11 ? 0 : file.size);
  put(header, 136, 11, plainTime(file.mtime) ? Number(file.mtime) : 0);
  header.write(file.type, 156, "latin1");
  header.write(file.link, 157, 100, "utf8");
  header.write("ustar\x0000", 257, "latin1");
  if (file.type === "3" || file.type === "4") {
    put(header, 329, 7, file.major);
    put(header, 337, 7, file.minor);
  }
  header.fill(32, 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function put(header: Buffer, at: number, digits: number, value: number): void {
  header.write(value.toString(8).padStart(digits, "0"), at, "latin1");
}
