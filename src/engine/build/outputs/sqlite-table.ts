// Reads one table of a SQLite file of a stranger, as rpm keeps its headers. SQLite itself trusts
// what it opens: pages that lead in circles keep it busy forever, in the one thread that there is.
// Here every page is read at most once, so work and memory are bounded by the size of the file.

const MAGIC = "SQLite format 3\0";
const FILE_HEADER_BYTES = 100;
const INTERIOR = 5;
const LEAF = 13;
const RECORD_BYTES_MAX = 32 * 1024 * 1024;
const COLUMNS_MAX = 100;

/** Reads up to `length` bytes at a place of the file. */
export type ReadAt = (at: number, length: number) => Promise<Buffer>;
/** Numbers of up to six bytes; other numbers are undefined. */
type Value = Buffer | number | undefined;

interface Pages {
  read: ReadAt;
  size: number;
  /** Without what every page has reserved at its end. */
  usable: number;
  seen: Set<number>;
}

/** The rows of a table with a row id, as far as they are sound. Nothing where there is no such
 * table; throws where the file is no database or odd. */
export async function* tableRows(read: ReadAt, table: string): AsyncGenerator<Value[]> {
  const header = await read(0, FILE_HEADER_BYTES);
  if (header.toString("latin1", 0, MAGIC.length) !== MAGIC) throw odd("it is no database");
  const said = header.readUInt16BE(16);
  const size = said === 1 ? 65_536 : said;
  const usable = size - header.readUInt8(20);
  if (size < 512 || (size & (size - 1)) !== 0 || usable < 480) throw odd("bad size of pages");
  const pages: Pages = { read, size, usable, seen: new Set() };
  for await (const [type, name, , root] of rowsOf(pages, 1)) {
    if (String(type) !== "table" || String(name) !== table || typeof root !== "number") continue;
    yield* rowsOf(pages, root);
    return;
  }
}

const odd = (why: string): Error => new Error(`a damaged SQLite file: ${why}`);

async function pageOf({ read, size, seen }: Pages, number: number): Promise<Buffer> {
  if (number < 1 || seen.has(number)) throw odd("pages lead in a circle");
  seen.add(number);
  const page = await read((number - 1) * size, size);
  if (page.length < size) throw odd("it was cut");
  return page;
}

async function* rowsOf(pages: Pages, root: number): AsyncGenerator<Value[]> {
  const waiting = [root];
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const page = await pageOf(pages, number);
    const start = number === 1 ? FILE_HEADER_BYTES : 0;
    const kind = page[start];
    if (kind !== INTERIOR && kind !== LEAF) throw odd("no page of a table");
    const count = page.readUInt16BE(start + 3);
    const first = start + (kind === INTERIOR ? 12 : 8);
    const cells: number[] = [];
    for (let index = 0; index < count; index++) cells.push(page.readUInt16BE(first + 2 * index));
    if (kind === LEAF) {
      for (const cell of cells) yield recordOf(await payloadOf(pages, page, cell));
      continue;
    }
    waiting.push(page.readUInt32BE(start + 8));
    for (const cell of cells.reverse()) waiting.push(page.readUInt32BE(cell));
  }
}

async function payloadOf(pages: Pages, page: Buffer, cell: number): Promise<Buffer> {
  const length = varint(page, cell);
  const rowId = varint(page, length.end);
  const { usable } = pages;
  const total = length.value;
  if (total > RECORD_BYTES_MAX) throw odd("a record is too large");
  if (total <= usable - 35) return part(page, rowId.end, total);
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const wished = least + ((total - least) % (usable - 4));
  const here = wished <= usable - 35 ? wished : least;
  const chunks = [part(page, rowId.end, here)];
  let next = page.readUInt32BE(rowId.end + here);
  for (let left = total - here; left > 0; ) {
    const more = await pageOf(pages, next);
    next = more.readUInt32BE(0);
    const taken = Math.min(left, usable - 4);
    chunks.push(part(more, 4, taken));
    left -= taken;
  }
  return Buffer.concat(chunks);
}

function recordOf(payload: Buffer): Value[] {
  const header = varint(payload, 0);
  const values: Value[] = [];
  let at = header.end;
  let from = header.value;
  while (at < header.value && values.length < COLUMNS_MAX) {
    const type = varint(payload, at);
    at = type.end;
    const size = sizeOf(type.value);
    const bytes = part(payload, from, size);
    from += size;
    if (type.value >= 12) values.push(bytes);
    else if (type.value === 8 || type.value === 9) values.push(type.value - 8);
    else values.push(size > 0 && size <= 6 ? bytes.readIntBE(0, size) : undefined);
  }
  return values;
}

/** Of a column, by its serial type. */
function sizeOf(type: number): number {
  if (type >= 12) return Math.floor((type - 12) / 2);
  return [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0][type]!;
}

function part(bytes: Buffer, at: number, length: number): Buffer {
  if (at + length > bytes.length) throw odd("it leads beyond a page");
  return bytes.subarray(at, at + length);
}

/** Seven bits a byte, at most nine bytes; what no size can be is beyond every limit. */
function varint(bytes: Buffer, at: number): { value: number; end: number } {
  let value = 0;
  for (let index = 0; index < 9; index++) {
    const byte = bytes.readUInt8(at + index);
    if (index === 8) return { value: value * 256 + byte, end: at + 9 };
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  throw odd("no number");
}
