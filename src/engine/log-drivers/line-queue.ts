// Lines that were read from the local log and are not shipped yet, with the places in the log at
// which each batch of them ends: a place counts as shipped when the last line before it is.

import type { EntryBatch, LogCursor, LogEntry } from "../logs/index.ts";

export class LineQueue {
  #lines: LogEntry[] = [];
  #first = 0;
  /** Lines that were taken from the front, ever, and put in at the end, ever. */
  #taken = 0;
  #put = 0;
  #bytes = 0;
  #places: { after: number; cursor: LogCursor }[] = [];

  get length(): number {
    return this.#put - this.#taken;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(batch: EntryBatch): void {
    for (const entry of batch.entries) {
      this.#lines.push(entry);
      this.#bytes += entry.text.length;
    }
    this.#put += batch.entries.length;
    this.#places.push({ after: this.#put, cursor: batch.cursor });
  }

  /** The first lines, at least one and else within the limits. */
  head({ linesMax, bytesMax }: { linesMax: number; bytesMax: number }): LogEntry[] {
    let bytes = 0;
    let end = this.#first;
    const stop = Math.min(this.#lines.length, this.#first + linesMax);
    while (end < stop) {
      bytes += this.#lines[end]!.text.length;
      if (bytes > bytesMax && end > this.#first) break;
      end++;
    }
    return this.#lines.slice(this.#first, end);
  }

  /** The first `count` lines are done with. Returns the place up to which all is. */
  shift(count: number): LogCursor | undefined {
    for (let n = 0; n < count; n++) this.#bytes -= this.#lines[this.#first++]!.text.length;
    this.#taken += count;
    if (this.#first * 2 > this.#lines.length) {
      this.#lines = this.#lines.slice(this.#first);
      this.#first = 0;
    }
    let reached: LogCursor | undefined;
    while (this.#places.length > 0 && this.#places[0]!.after <= this.#taken) {
      reached = this.#places.shift()!.cursor;
    }
    return reached;
  }
}
