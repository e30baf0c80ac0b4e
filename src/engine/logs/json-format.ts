// Docker's json-file format: {"log":"text\n","stream":"stdout","attrs":{…},"time":"…Z"} and a
// newline. The usual line has no escape but the one at its end, which two searches find. A
// block has nothing after its `end`.

import { type LogFormat, type LogTime, type RecordView, TIME_BYTES } from "./record.ts";

const NEWLINE = 10;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const LOG_BYTES = '{"log":"'.length;
const STREAM_AT = '","stream":"std'.length;
const AFTER_STREAM = '","stream":"stdout",'.length;
const TIME_AT = '"time":"'.length;
const ATTRS_AT = '"attrs":'.length;
const ZERO = 48;
const LETTER_Z = 90;
const LETTER_U = 117;
const SHORT_BYTES = 64;
/** 2006-01-02T15:04:05 */
const SECONDS_BYTES = 19;

export const jsonFormat: LogFormat = {
  name: "json",
  headBytes: 0,
  read,
  time,
  writeTime,
  before(block, end) {
    const newline = end < 2 ? -1 : block.lastIndexOf(NEWLINE, end - 2);
    return newline < 0 ? -1 : newline + 1;
  },
  boundary(block, at, end) {
    const newline = block.indexOf(NEWLINE, at);
    return newline < 0 || newline + 1 >= end ? -1 : newline + 1;
  },
};

function read(
  block: Buffer,
  at: number,
  end: number,
  view: RecordView,
): "whole" | "torn" | "short" {
  if (!beginsLine(block, at)) return skip(block, at, end, view);
  const text = at + LOG_BYTES;
  const slash = block.indexOf(BACKSLASH, text);
  let close = block.indexOf(QUOTE, text);
  if (slash >= 0 && close === slash + 2 && block[slash + 1] === 110) {
    view.textEnd = slash;
    view.escaped = false;
    view.ended = true;
  } else {
    close = closingQuote(block, text, end);
    if (close < 0) return skip(block, at, end, view);
    view.ended = endsLine(block, text, close);
    view.textEnd = view.ended ? close - 2 : close;
    view.escaped = slash >= 0 && slash < view.textEnd;
  }
  if (!followsText(block, close)) return skip(block, at, end, view);
  view.textStart = text;
  view.stream = block[close + STREAM_AT] === 101 ? 2 : 1;
  view.ordinal = 0;
  return readRest(block, close, at, end, view);
}

/** {"log":" and nothing shorter: a line may be torn anywhere. */
const beginsLine = (block: Buffer, at: number): boolean =>
  block[at] === BRACE &&
  block[at + 4] === 103 &&
  block[at + 6] === 58 &&
  block[at + LOG_BYTES - 1] === QUOTE;

/** ","stream":"std, of which some bytes are looked at. */
const followsText = (block: Buffer, close: number): boolean =>
  block[close + 1] === 44 &&
  block[close + 3] === 115 &&
  block[close + 10] === 58 &&
  block[close + STREAM_AT - 1] === 100;

/** Attributes and time, after the closing quote of the text. */
function readRest(
  block: Buffer,
  close: number,
  at: number,
  end: number,
  view: RecordView,
): "whole" | "torn" | "short" {
  const after = close + AFTER_STREAM;
  view.attrsStart = view.attrsEnd = 0;
  let newline: number;
  if (block[after + 1] === 116) {
    view.timeStart = after + TIME_AT;
    let z = view.timeStart + SECONDS_BYTES + 10;
    while (z > view.timeStart && block[z] !== LETTER_Z) z--;
    view.timeEnd = z;
    newline = z + 3;
  } else {
    newline = block.indexOf(NEWLINE, after);
    const quote = newline - 2;
    view.timeEnd = quote - 1;
    view.timeStart = block.lastIndexOf(QUOTE, view.timeEnd) + 1;
    view.attrsStart = after + ATTRS_AT;
    view.attrsEnd = view.timeStart - ',"time":"'.length;
  }
  if (newline >= end || newline < 0) return skip(block, at, end, view);
  const makesSense = block[newline] === NEWLINE && view.timeEnd >= view.timeStart + SECONDS_BYTES;
  if (!makesSense || view.timeStart < close) return skip(block, at, end, view);
  view.next = newline + 1;
  return "whole";
}

function skip(block: Buffer, at: number, end: number, view: RecordView): "torn" | "short" {
  const newline = block.indexOf(NEWLINE, at);
  if (newline < 0 || newline >= end) return "short";
  view.next = newline + 1;
  return "torn";
}

/** The first quote that is not escaped. Behind a torn text it is one of the next line, after which
 * no record follows. */
function closingQuote(block: Buffer, from: number, end: number): number {
  for (let at = block.indexOf(QUOTE, from); at >= 0 && at < end; ) {
    let slash = at - 1;
    while (slash >= from && block[slash] === BACKSLASH) slash--;
    if ((at - slash) % 2 === 1) return at;
    at = block.indexOf(QUOTE, at + 1);
  }
  return -1;
}

/** Whether the text ends with \n, of which the backslash is not itself escaped. */
function endsLine(block: Buffer, from: number, close: number): boolean {
  if (close - 2 < from || block[close - 1] !== 110 || block[close - 2] !== BACKSLASH) return false;
  let slashes = 0;
  while (close - 2 - slashes >= from && block[close - 2 - slashes] === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}

const digits2 = (block: Buffer, at: number): number =>
  (block[at]! - ZERO) * 10 + block[at + 1]! - ZERO;

function time(block: Buffer, { timeStart: at, timeEnd }: RecordView): LogTime {
  const year = digits2(block, at) * 100 + digits2(block, at + 2);
  const ms = Date.UTC(
    year,
    digits2(block, at + 5) - 1,
    digits2(block, at + 8),
    digits2(block, at + 11),
    digits2(block, at + 14),
    digits2(block, at + 17),
  );
  let nanoseconds = 0;
  for (let n = 0; n < 9; n++) {
    const digit = at + SECONDS_BYTES + 1 + n;
    nanoseconds = nanoseconds * 10 + (digit < timeEnd ? block[digit]! - ZERO : 0);
  }
  return { seconds: ms / 1000, nanoseconds };
}

function writeTime(block: Buffer, view: RecordView, out: Buffer, at: number): number {
  writeTimeText(block, view.timeStart, view.timeEnd, out, at);
  return at + TIME_BYTES;
}

/** Writes the time between `from` and its Z with exactly nine digits, and a space after it. */
export function writeTimeText(
  block: Buffer,
  from: number,
  z: number,
  out: Buffer,
  at: number,
): void {
  const end = at + TIME_BYTES - 2;
  let to = at;
  while (from < z && to < end) out[to++] = block[from++]!;
  while (to < end) out[to++] = ZERO;
  out[at + SECONDS_BYTES] = 46;
  out[end] = LETTER_Z;
  out[end + 1] = 32;
}

/** Writes the text without its escapes to `out` (never longer); returns where it ends. */
export function writeUnescaped(
  block: Buffer,
  from: number,
  to: number,
  out: Buffer,
  at: number,
): number {
  while (from < to) {
    // A call costs as much as a few dozen bytes: only what is long is searched and copied by one.
    const near = Math.min(to, from + SHORT_BYTES);
    while (from < near && block[from] !== BACKSLASH) out[at++] = block[from++]!;
    if (from === to) break;
    if (block[from] !== BACKSLASH) {
      const found = block.indexOf(BACKSLASH, from);
      const slash = found < 0 || found > to ? to : found;
      at += block.copy(out, at, from, slash);
      from = slash;
      continue;
    }
    const letter = block[from + 1]!;
    if (letter !== LETTER_U) {
      out[at++] = PLAIN_ESCAPES[letter]!;
      from += 2;
      continue;
    }
    let unit = hexAt(block, from + 2);
    from += 6;
    // A pair of surrogates is one rune.
    if (unit >= 0xd800 && unit < 0xdc00 && block[from] === BACKSLASH) {
      if (block[from + 1] === LETTER_U) {
        unit = 0x10000 + ((unit - 0xd800) << 10) + (hexAt(block, from + 2) - 0xdc00);
        from += 6;
      }
    }
    if (unit < 0x80) out[at++] = unit;
    else at += out.write(String.fromCodePoint(unit), at);
  }
  return at;
}

/** What stands behind a backslash, as the byte that it means. */
export const PLAIN_ESCAPES = new Uint8Array(256).map((_, letter) => letter);
for (const [letter, byte] of ["n\n", "r\r", "t\t", "b\b", "f\f"]) {
  PLAIN_ESCAPES[letter!.charCodeAt(0)] = byte!.charCodeAt(0);
}

/** Four digits; 0 where there are none. */
function hexAt(block: Buffer, at: number): number {
  let value = 0;
  for (let n = at; n < at + 4; n++) {
    const byte = block[n] ?? 0;
    const digit = byte <= 57 ? byte - ZERO : (byte | 32) - 87;
    if (digit < 0 || digit > 15) return 0;
    value = value * 16 + digit;
  }
  return value;
}
