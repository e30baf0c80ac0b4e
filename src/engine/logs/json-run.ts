// The way that nearly all of a json-file log goes: consecutive entries of one stream, of which
// nothing but the text (and the time) is wanted, are copied in one loop that looks at four bytes at
// a time and calls nothing: a call a line costs more than the line. It stops before whatever is not
// an everyday entry, which `jsonFormat.read` then judges; so only the two together are the format.

import { PLAIN_ESCAPES, writeTimeText } from "./json-format.ts";
import { TIME_BYTES } from "./record.ts";

const BACKSLASH = 0x5c;
const QUOTE = 0x22;
const BRACE = 0x7b;
const LETTER_U = 117;
const ZERO = 48;
const LETTER_Z = 90;
const LOG_BYTES = '{"log":"'.length;
/** From the quote that closes the text. */
const STREAM_AT = '","stream":"std'.length;
const TIME_KEY_AT = '","stream":"stdout","'.length;
const TIME_AT = '","stream":"stdout","time":"'.length;
const SECONDS_BYTES = 19;
/** What follows the text at most, with nine digits: `Z"}\n` is its end. */
const TAIL_BYTES = TIME_AT + SECONDS_BYTES + 14;
/** Values of digits; of anything else so much that no code comes of it. */
const HEX = new Uint8Array(256).fill(0xff);
for (const [value, digit] of [..."0123456789abcdef"].entries()) {
  HEX[digit.charCodeAt(0)] = HEX[digit.toUpperCase().charCodeAt(0)] = value;
}
/** So much more than the texts may be written behind them. */
export const RUN_SLACK_BYTES = 8;

export interface Run {
  /** Where the next entry begins. */
  at: number;
  /** Where the output ends. */
  length: number;
}

/** Copies entries of `stream` from `at` on to `out` behind `length`, as long as `out` has not come
 * to `lengthMax`; updates both in `run`. `out` has room for the rest of the block. */
export function copyRun(
  block: Buffer,
  words: DataView,
  out: Buffer,
  outWords: DataView,
  run: Run,
  o: { stream: 1 | 2; timestamps: boolean; lengthMax: number },
): void {
  const last = block.length - LOG_BYTES - TAIL_BYTES;
  const letter = o.stream === 1 ? 111 : 101; // std|o|ut, std|e|rr
  const { timestamps, lengthMax } = o;
  let { at, length } = run;
  while (at <= last && length < lengthMax) {
    if (block[at] !== BRACE || block[at + 4] !== 103 || block[at + 6] !== 58) break;
    if (block[at + LOG_BYTES - 1] !== QUOTE) break;
    let from = at + LOG_BYTES;
    let to = timestamps ? length + TIME_BYTES : length;
    for (;;) {
      for (; from <= last; from += 4, to += 4) {
        const word = words.getInt32(from, true);
        outWords.setInt32(to, word, true);
        const slash = word ^ 0x5c5c5c5c;
        const quote = word ^ 0x22222222;
        if ((((slash - 0x01010101) & ~slash) | ((quote - 0x01010101) & ~quote)) & 0x80808080) break;
      }
      let byte = block[from]!;
      while (byte !== BACKSLASH && byte !== QUOTE && from < block.length) {
        out[to++] = byte;
        byte = block[++from]!;
      }
      if (byte !== BACKSLASH) break;
      if (block[from + 1] !== LETTER_U) {
        out[to++] = PLAIN_ESCAPES[block[from + 1]!]!;
        from += 2;
        continue;
      }
      // \u00..: control characters, and what Go escapes for HTML.
      if (block[from + 2] !== ZERO || block[from + 3] !== ZERO) break;
      const code = HEX[block[from + 4]!]! * 16 + HEX[block[from + 5]!]!;
      if (!(code < 0x80)) break;
      out[to++] = code;
      from += 6;
    }
    if (block[from] !== QUOTE || block[from + 1] !== 44 || block[from + 3] !== 115) break;
    if (block[from + 10] !== 58) break;
    if (block[from + STREAM_AT - 1] !== 100 || block[from + STREAM_AT] !== letter) break;
    if (block[from + TIME_KEY_AT] !== 116) break;
    const time = from + TIME_AT;
    let z = time + SECONDS_BYTES + 10;
    while (z > time && block[z] !== LETTER_Z) z--;
    if (z < time + SECONDS_BYTES || block[z + 3] !== 10) break;
    if (timestamps) writeTimeText(block, time, z, out, length);
    at = z + 4;
    length = to;
  }
  run.at = at;
  run.length = length;
}

export const viewOf = ({ buffer, byteOffset, length }: Buffer): DataView =>
  new DataView(buffer, byteOffset, length);
