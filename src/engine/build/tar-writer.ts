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

const TEMPLATE = Buffer.alloc(BLOCK);
TEMPLATE.write("ustar\x0000", 257, "latin1");
const BLANKS_SUM = 8 * 32;

/** Tens of thousands are made for one step: no more than it takes. */
function block(file: TarFile, name: string): Buffer {
  const header = Buffer.allocUnsafe(BLOCK);
  TEMPLATE.copy(header);
  header.write(name, 0, 100, "utf8");
  put(header, 100, 7, file.mode & 0o7777);
  put(header, 108, 7, file.uid > OCTAL_7 ? 0 : file.uid);
  put(header, 116, 7, file.gid > OCTAL_7 ? 0 : file.gid);
  put(header, 124, 11, file.size > OCTAL_11 ? 0 : file.size);
  put(header, 136, 11, plainTime(file.mtime) ? Number(file.mtime) : 0);
  header[156] = file.type.charCodeAt(0);
  if (file.link !== "") header.write(file.link, 157, 100, "utf8");
  if (file.type === "3" || file.type === "4") {
    put(header, 329, 7, file.major);
    put(header, 337, 7, file.minor);
  }
  let sum = BLANKS_SUM;
  for (let at = 0; at < 148; at++) sum += header[at]!;
  for (let at = 156; at < 345; at++) sum += header[at]!;
  put(header, 148, 6, sum);
  header[155] = 32;
  return header;
}

function put(header: Buffer, start: number, digits: number, value: number): void {
  let left = value;
  for (let at = start + digits - 1; at >= start; at--) {
    header[at] = 48 + (left % 8);
    left = Math.floor(left / 8);
  }
}
