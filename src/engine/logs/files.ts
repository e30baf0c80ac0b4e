// The files of a json-file log: the current one and the rotated ones (path.1 is the youngest,
// .gz where compressed). Everything streams; `tail` reads blocks from the end.

import { createReadStream } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { createGunzip } from "node:zlib";

import { fixedTime, parseLogLine } from "./line.ts";

const BLOCK_BYTES = 64 * 1024;
const ROTATED_FILES_MAX = 1000;
/** path is missing between its renaming and the making of the next, and so may a number be. */
const MISSING_IN_A_ROW = 2;
const NEWLINE = 10;

export interface LogFile {
  path: string;
  compressed: boolean;
  handle: FileHandle;
  /** How far it has been read (of a plain file). */
  position: number;
}

/** Opens every file there is, oldest first. The current file (last) may be missing when nothing
 * was ever written. */
export async function openLogFiles(path: string): Promise<LogFile[]> {
  return await openUpwards(path, { compressed: true, until: -1 });
}

/** The files that were begun after `current` by rotations, oldest first. */
export async function openNewerFiles(path: string, current: LogFile): Promise<LogFile[]> {
  const { ino } = await current.handle.stat();
  return await openUpwards(path, { compressed: false, until: ino });
}

/** Opens path, path.1, path.2 … up to the first that is missing, or to the inode `until`. A
 * rotation meanwhile only moves files to higher numbers, so that none is passed over; but one may
 * be met twice, a number be missing for a moment, and a younger file come after an older one. */
async function openUpwards(
  path: string,
  o: { compressed: boolean; until: number },
): Promise<LogFile[]> {
  const files: LogFile[] = [];
  const seen = new Set<number>();
  let missing = 0;
  let youngest = 0;
  for (let n = 0; n <= ROTATED_FILES_MAX && missing < MISSING_IN_A_ROW; n++) {
    const name = n === 0 ? path : `${path}.${n}`;
    const file =
      (await openIfThere(name, false)) ??
      (o.compressed && n > 0 ? await openIfThere(`${name}.gz`, true) : undefined);
    missing = file ? 0 : missing + 1;
    if (!file) continue;
    const { ino } = await file.handle.stat();
    if (n === 0) youngest = ino;
    if (ino !== o.until && !seen.has(ino)) files.unshift(file);
    else await file.handle.close();
    if (ino === o.until) break;
    seen.add(ino);
  }
  const now = await stat(path).catch(() => undefined);
  return now?.ino === youngest ? files : await sortByAge(files);
}

/** Oldest first, by the time of each file's first line; what is compressed is older than all. */
async function sortByAge(files: LogFile[]): Promise<LogFile[]> {
  const aged = await Promise.all(
    files.map(async (file) => ({ file, time: file.compressed ? "" : await firstTime(file) })),
  );
  return aged.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).map((x) => x.file);
}

/** "~" (after every digit) for a file in which nothing is written yet. */
async function firstTime({ handle }: LogFile): Promise<string> {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  const { bytesRead } = await handle.read(block, 0, BLOCK_BYTES, 0);
  const line = block.toString("utf8", 0, bytesRead).split("\n", 1)[0] ?? "";
  return fixedTime(parseLogLine(line)?.time ?? "~");
}

async function openIfThere(path: string, compressed: boolean): Promise<LogFile | undefined> {
  try {
    return { path, compressed, handle: await open(path, "r"), position: 0 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Sets the files' positions so that the last `count` lines of all follow. Returns the first file
 * to read, and how many of its lines to skip where it is compressed. */
export async function seekTail(
  files: readonly LogFile[],
  count: number,
): Promise<{ file: number; skipLines: number }> {
  let missing = count;
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index]!;
    if (file.compressed) {
      const lines = await countLines(file);
      if (lines >= missing) return { file: index, skipLines: lines - missing };
      missing -= lines;
      continue;
    }
    const found = await tailOffset(file.handle, missing);
    if (found.lines >= missing) {
      file.position = found.offset;
      return { file: index, skipLines: 0 };
    }
    missing -= found.lines;
  }
  return { file: 0, skipLines: 0 };
}

/** The offset at which the last `count` lines of a file begin, reading backwards. */
async function tailOffset(
  handle: FileHandle,
  count: number,
): Promise<{ lines: number; offset: number }> {
  const { size } = await handle.stat();
  if (count === 0) return { lines: 0, offset: size };
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let lines = 0;
  let position = size;
  while (position > 0) {
    const length = Math.min(BLOCK_BYTES, position);
    position -= length;
    const { bytesRead } = await handle.read(block, 0, length, position);
    for (let at = bytesRead - 1; at >= 0; at--) {
      if (block[at] !== NEWLINE) continue;
      // A newline at the very end closes the last line; every other one opens the next.
      if (position + at + 1 < size) lines++;
      if (lines === count) return { lines, offset: position + at + 1 };
    }
  }
  return { lines: size > 0 ? lines + 1 : 0, offset: 0 };
}

async function countLines(file: LogFile): Promise<number> {
  let lines = 0;
  for await (const chunk of streamFile(file)) {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines++;
  }
  return lines;
}

/** The content of a file from its position on, which moves along; the handle stays open. */
export function streamFile(file: LogFile): AsyncIterable<Buffer> {
  if (!file.compressed) return readBlocks(file);
  const source = createReadStream("", { fd: file.handle.fd, autoClose: false, start: 0 });
  return source.pipe(createGunzip());
}

async function* readBlocks(file: LogFile): AsyncGenerator<Buffer> {
  for (;;) {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    const { bytesRead } = await file.handle.read(block, 0, BLOCK_BYTES, file.position);
    if (bytesRead === 0) return;
    file.position += bytesRead;
    yield block.subarray(0, bytesRead);
  }
}

/** Cuts chunks into whole lines; what is left over waits for the next chunk. */
export class LineCutter {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): string[] {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const end = all.lastIndexOf(NEWLINE);
    this.#rest = Buffer.from(all.subarray(end + 1));
    return end < 0 ? [] : all.toString("utf8", 0, end).split("\n");
  }
}
