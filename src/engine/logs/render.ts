// Entries as docker's API shows them: optional time stamp and attributes before the text, a frame
// header where the container has no terminal. A block becomes one buffer; no string is made for a
// line unless it is searched.

import { writeUnescaped } from "./json-format.ts";
import { copyRun, RUN_SLACK_BYTES, viewOf } from "./json-run.ts";
import { compareTimes, type LogFormat, type LogTime, newView, type RecordView } from "./record.ts";
import type { Turns } from "./turns.ts";

const HEADER_BYTES = 8;
/** Room behind a block's length, so that entries as they are written hardly ever need more. */
const SLACK_BYTES = 256;
const LINE_BYTES = 48; // header, time stamp, newline
const COPY_BYTES_MIN = 24;
/** Entries may be somewhat out of order: all parts of a long line have the time of its first. */
const DISORDER_SECONDS = 10;
const MERGED_BYTES_MAX = 32 * 1024;

export interface RenderOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  details: boolean;
  /** Multiplexed frames; off for a container with a terminal. */
  frames: boolean;
  /** Lines of one stream in a row share a frame: several times faster to take apart. */
  merge: boolean;
  since?: LogTime;
  until?: LogTime;
  /** Only texts in which it is found. */
  grep?: (text: string) => boolean;
}

export class Renderer {
  /** An entry after `until` was met: nothing more will come. */
  ended = false;
  #options: RenderOptions;
  #view = newView();
  #out = Buffer.alloc(0);
  #outWords = viewOf(this.#out);
  /** What the output before the last one was written to; undefined where that is not ours. */
  #spare: Buffer<ArrayBuffer> | undefined;
  #recycle: boolean;
  #length = 0;
  /** Offset and stream of the frame that may still grow; -1 for none. */
  #frame = -1;
  #frameStream = 0;
  /** Of the entry that was put last; 0 for none. */
  #stream: 0 | 1 | 2 = 0;
  #afterSince: boolean;

  constructor(options: RenderOptions, { recycle = false } = {}) {
    this.#options = options;
    this.#recycle = recycle;
    this.#afterSince = options.since === undefined;
  }

  /** A block of whole records, formatted; empty where none is wanted. With `turns` only as far as
   * the turn goes: `rest` is what is left. With `recycle` a text is overwritten by the next but one
   * that is not empty. */
  render(format: LogFormat, block: Buffer, turns?: Turns): { text: Buffer; rest: Buffer } {
    const view = this.#view;
    this.#begin(block.length + SLACK_BYTES);
    this.#frame = -1;
    this.#stream = 0;
    const words = format.name === "json" && this.#runs ? viewOf(block) : undefined;
    let at = 0;
    for (; at < block.length && !turns?.isOver; at = view.next) {
      if (words && this.#stream !== 0) {
        at = this.#putRun(block, words, at, this.#stream);
        if (at === block.length) break;
      }
      const found = format.read(block, at, block.length, view);
      if (found === "short") view.next = block.length;
      if (found !== "whole") continue;
      if (!this.wants(format, block, view)) continue;
      if (this.ended) break;
      this.#put(format, block, view);
    }
    this.#closeFrame();
    const text = this.#out.subarray(0, this.#length);
    const rest = this.ended ? block.subarray(block.length) : block.subarray(at);
    return { text, rest };
  }

  #begin(bytes: number): void {
    // Whoever had the last output has it still; nobody has an empty one.
    const own = this.#length > 0 ? this.#spare : this.#out;
    if (this.#recycle && this.#length > 0) this.#spare = this.#out;
    this.#out = this.#recycle && own && own.length >= bytes ? own : Buffer.allocUnsafeSlow(bytes);
    this.#outWords = viewOf(this.#out);
    this.#length = 0;
  }

  /** Whether entries in a row need no look at each. */
  get #runs(): boolean {
    const { merge, frames, details, grep, until } = this.#options;
    return (merge || !frames) && !details && !grep && !until && this.#afterSince;
  }

  /** Whether an entry is asked for. Sets `ended` at the first one after `until`. */
  wants(format: LogFormat, block: Buffer, view: RecordView): boolean {
    const { stdout, stderr, grep } = this.#options;
    if (!(view.stream === 1 ? stdout : stderr)) return false;
    if (!this.#isInTime(format, block, view)) return this.ended;
    return grep === undefined || grep(lineOf(block, view));
  }

  #isInTime(format: LogFormat, block: Buffer, view: RecordView): boolean {
    const { since, until } = this.#options;
    if (this.#afterSince && !until) return true;
    const time = format.time(block, view);
    if (since && !this.#afterSince) {
      if (compareTimes(time, since) < 0) return false;
      this.#afterSince = time.seconds > since.seconds + DISORDER_SECONDS;
    }
    if (!until || compareTimes(time, until) <= 0) return true;
    this.ended = time.seconds > until.seconds + DISORDER_SECONDS;
    return false;
  }

  /** Entries like the last one, as far as its frame has room for them; returns where they end. */
  #putRun(block: Buffer, words: DataView, at: number, stream: 1 | 2): number {
    const run = { at, length: this.#length };
    this.#reserve(block.length - at + RUN_SLACK_BYTES);
    const { frames, timestamps } = this.#options;
    const lengthMax = frames ? this.#frame + MERGED_BYTES_MAX : this.#out.length;
    copyRun(block, words, this.#out, this.#outWords, run, { stream, timestamps, lengthMax });
    this.#length = run.length;
    return run.at;
  }

  #put(format: LogFormat, block: Buffer, view: RecordView): void {
    const { frames, merge, timestamps, details } = this.#options;
    const textBytes = view.textEnd - view.textStart;
    const attributes = details ? attributesOf(block, view) : "";
    this.#reserve(textBytes + LINE_BYTES + attributes.length * 3);
    this.#stream = view.stream;
    const joins =
      merge &&
      this.#frame >= 0 &&
      this.#frameStream === view.stream &&
      this.#length - this.#frame < MERGED_BYTES_MAX;
    if (frames && !joins) {
      this.#closeFrame();
      this.#frame = this.#length;
      this.#frameStream = view.stream;
      this.#length += HEADER_BYTES;
    }
    const out = this.#out;
    let at = this.#length;
    if (timestamps) at = format.writeTime(block, view, out, at);
    if (details) at += out.write(`${attributes} `, at);
    if (view.escaped) {
      at = writeUnescaped(block, view.textStart, view.textEnd, out, at);
    } else if (textBytes > COPY_BYTES_MIN) {
      at += block.copy(out, at, view.textStart, view.textEnd);
    } else {
      for (let from = view.textStart; from < view.textEnd; ) out[at++] = block[from++]!;
    }
    if (view.ended) out[at++] = 10;
    this.#length = at;
  }

  #closeFrame(): void {
    if (this.#frame < 0) return;
    const bytes = this.#length - this.#frame - HEADER_BYTES;
    this.#out.writeUInt32BE(this.#frameStream << 24, this.#frame);
    this.#out.writeUInt32BE(bytes, this.#frame + 4);
    this.#frame = -1;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const grown = Buffer.allocUnsafeSlow((this.#out.length + bytes) * 2);
    this.#out.copy(grown, 0, 0, this.#length);
    this.#out = grown;
    this.#outWords = viewOf(grown);
  }
}

/** The same without the carriage return that a terminal adds: `$` is the end of the line. */
function lineOf(block: Buffer, view: RecordView): string {
  const text = textOf(block, view);
  return text.endsWith("\r") ? text.slice(0, -1) : text;
}

/** The text of an entry, without its newline. */
export function textOf(block: Buffer, view: RecordView): string {
  if (!view.escaped) return block.toString("utf8", view.textStart, view.textEnd);
  const out = Buffer.allocUnsafe(view.textEnd - view.textStart);
  return out.toString("utf8", 0, writeUnescaped(block, view.textStart, view.textEnd, out, 0));
}

/** "key=value,…", sorted, as docker shows them with `details`. */
function attributesOf(block: Buffer, view: RecordView): string {
  if (view.attrsEnd === 0) return "";
  return Object.entries(parseAttributes(block, view) ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join(",");
}

export function parseAttributes(
  block: Buffer,
  view: RecordView,
): Record<string, string> | undefined {
  if (view.attrsEnd === 0) return undefined;
  try {
    return JSON.parse(block.toString("utf8", view.attrsStart, view.attrsEnd));
  } catch {
    return undefined;
  }
}
