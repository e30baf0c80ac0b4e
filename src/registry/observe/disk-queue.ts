// A queue of lines on disk, in order, bounded: what was added and flushed is still there after the
// process was killed. Segments are only appended to; a cursor file, replaced atomically, says how
// far the reader is. After a crash between delivery and cursor an item comes again: at least once.
// One process owns the folder. Adding never waits: lines gather in memory while the disk is busy.

import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, writeFileAtomic } from "../../base/index.ts";

const segmentBytesMax = 1024 * 1024;
const retryMs = 1000;
/** Delivered lines between two writes of the cursor, while more wait: a sync each would be slow. */
const cursorEvery = 64;

interface Cursor {
  segment: number;
  offset: number; // bytes
}

export class DiskQueue {
  /** Lines that did not fit. */
  dropped = 0;
  readonly #folder: string;
  readonly #bytesMax: number;
  readonly #logger: Logger;
  #segments: { number: number; size: number }[] = [];
  #cursor: Cursor = { segment: 1, offset: 0 };
  #fresh: string[] = [];
  #freshBytes = 0;
  #flushing: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #closed = false;
  #unsaved = 0;
  /** Lines read ahead, the first of them at the cursor. */
  #ahead: { line: string; bytes: number }[] = [];

  constructor(folder: string, { bytesMax, logger }: { bytesMax: number; logger: Logger }) {
    this.#folder = folder;
    this.#bytesMax = bytesMax;
    this.#logger = logger;
  }

  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const names = (await readdir(this.#folder)).filter((name) => /^\d{12}\.jsonl$/.test(name));
    for (const name of names.sort()) {
      const path = join(this.#folder, name);
      this.#segments.push({ number: Number.parseInt(name, 10), size: await mendedSize(path) });
    }
    this.#cursor = await this.#readCursor();
    const first = this.#segments[0]?.number ?? this.#cursor.segment;
    if (this.#cursor.segment < first) this.#cursor = { segment: first, offset: 0 };
    await this.#dropRead();
  }

  /** Bytes that wait. */
  get bytes(): number {
    const stored = this.#segments.reduce((sum, { size }) => sum + size, 0);
    return stored - Math.min(stored, this.#cursor.offset) + this.#freshBytes;
  }

  /** Queues a line (without newline); false when there is no room. */
  add(line: string): boolean {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#closed || this.bytes + bytes > this.#bytesMax) {
      this.dropped++;
      return false;
    }
    this.#fresh.push(line);
    this.#freshBytes += bytes;
    this.#flush();
    return true;
  }

  /** The oldest line, waiting for one; undefined when the queue is closed. */
  async next(): Promise<string | undefined> {
    while (!this.#closed) {
      if (this.#ahead.length === 0) await this.#readAhead();
      if (this.#ahead.length > 0) return this.#ahead[0]!.line;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#closed || this.#unread() > 0) resolve();
      });
    }
    return undefined;
  }

  /** The line that next() gave is done with. */
  async advance(): Promise<void> {
    const done = this.#ahead.shift();
    if (!done) return;
    this.#cursor = { ...this.#cursor, offset: this.#cursor.offset + done.bytes };
    this.#unsaved++;
    await this.#dropRead();
    if (this.#unsaved >= cursorEvery || this.#ahead.length === 0) await this.saveCursor();
  }

  /** Writes what is in memory; next() answers undefined from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#flush();
    await this.saveCursor();
  }

  /** A cursor that cannot be written costs a second delivery after a restart, no more. */
  async saveCursor(): Promise<void> {
    if (this.#unsaved === 0) return;
    try {
      await writeFileAtomic(join(this.#folder, "cursor.json"), JSON.stringify(this.#cursor));
      this.#unsaved = 0;
    } catch (error) {
      this.#logger.warn("Cannot write the cursor of an event queue", { error });
    }
  }

  #flush(): Promise<void> {
    return (this.#flushing ??= this.#write());
  }

  async #write(): Promise<void> {
    await null;
    let complained = false;
    while (this.#fresh.length > 0) {
      const lines = this.#fresh.slice(); // more may come meanwhile
      const bytes = Buffer.from(`${lines.join("\n")}\n`);
      try {
        await this.#append(bytes);
        this.#fresh = this.#fresh.slice(lines.length);
        this.#freshBytes -= bytes.length;
        this.#wake?.();
      } catch (error) {
        if (!complained) this.#logger.error("Cannot write an event queue", { error });
        complained = true;
        if (this.#closed) break;
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref());
      }
    }
    this.#flushing = undefined; // in the same turn as the look at the queue
  }

  async #append(bytes: Buffer): Promise<void> {
    let last = this.#segments.at(-1);
    if (!last || last.size >= segmentBytesMax) {
      last = { number: (last?.number ?? this.#cursor.segment - 1) + 1, size: 0 };
      if (last.number < this.#cursor.segment) last.number = this.#cursor.segment;
      this.#segments.push(last);
    }
    const file = await open(this.#path(last.number), "a", 0o600);
    try {
      // A failed append may have left part of a line: it goes before the next attempt.
      const { size } = await file.stat();
      if (size > last.size) await file.truncate(last.size);
      await file.appendFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    last.size += bytes.length;
  }

  /** Bytes on disk beyond the cursor. */
  #unread(): number {
    return this.#segments.reduce(
      (sum, { number, size }) =>
        sum + (number === this.#cursor.segment ? Math.max(0, size - this.#cursor.offset) : size),
      0,
    );
  }

  async #readAhead(): Promise<void> {
    const segment = this.#segments.find(({ number }) => number === this.#cursor.segment);
    if (!segment || segment.size <= this.#cursor.offset) return;
    const bytes = await readFile(this.#path(segment.number));
    const text = bytes.subarray(this.#cursor.offset, segment.size).toString("utf8");
    this.#ahead = text
      .split("\n")
      .slice(0, -1)
      .map((line) => ({ line, bytes: Buffer.byteLength(line) + 1 }));
  }

  /** Removes segments that were read to their end and will not grow. */
  async #dropRead(): Promise<void> {
    while (this.#segments.length > 0) {
      const [first] = this.#segments as [{ number: number; size: number }];
      const read =
        first.number < this.#cursor.segment ||
        (first.number === this.#cursor.segment && this.#cursor.offset >= first.size);
      const grows = this.#segments.length === 1 && first.size < segmentBytesMax;
      if (!read || grows) return;
      this.#segments.shift();
      if (first.number >= this.#cursor.segment) {
        this.#cursor = { segment: this.#segments[0]?.number ?? first.number + 1, offset: 0 };
        this.#unsaved++;
        // The cursor first: it must never point into a segment that is gone and comes again.
        await this.saveCursor();
      }
      await rm(this.#path(first.number), { force: true });
    }
  }

  async #readCursor(): Promise<Cursor> {
    try {
      const text = await readFile(join(this.#folder, "cursor.json"), "utf8");
      const { segment, offset } = JSON.parse(text) as Cursor;
      if (Number.isSafeInteger(segment) && Number.isSafeInteger(offset)) return { segment, offset };
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
      if (!missing) this.#logger.warn("The cursor of an event queue is damaged", { error });
    }
    return { segment: this.#segments[0]?.number ?? 1, offset: 0 };
  }

  #path(number: number): string {
    return join(this.#folder, `${String(number).padStart(12, "0")}.jsonl`);
  }
}

/** The size of a segment up to its last whole line; a torn end (power cut) is cut off. */
async function mendedSize(path: string): Promise<number> {
  const { size } = await stat(path);
  if (size === 0) return 0;
  const bytes = await readFile(path);
  if (bytes.at(-1) === 0x0a) return size;
  const whole = bytes.lastIndexOf(0x0a) + 1;
  await writeFile(path, bytes.subarray(0, whole));
  return whole;
}
