// Names of files are bytes, mostly UTF-8. A byte that is none becomes a lone surrogate (U+DC80 and
// up, as Python does), so that every name is a string, no two are the same, and the bytes come
// back.

const ESCAPE = 0xdc00;

export function decodeName(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  if (!text.includes("\ufffd") || Buffer.from(text).equals(bytes)) return text;
  let decoded = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length === 0) decoded += String.fromCharCode(ESCAPE + bytes[at++]!);
    else {
      decoded += bytes.toString("utf8", at, at + length);
      at += length;
    }
  }
  return decoded;
}

/** The bytes of a valid sequence that begins at `at`; 0 when none does. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const part = bytes.subarray(at, at + length);
  const text = part.toString("utf8");
  return !text.startsWith("\ufffd") && Buffer.from(text).equals(part) ? length : 0;
}

export function encodeName(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const before = at > start ? text.charCodeAt(at - 1) : 0;
    const isPair = before >= 0xd800 && before < 0xdc00;
    if (code < 0xdc80 || code > 0xdcff || isPair) continue;
    parts.push(Buffer.from(text.slice(start, at)), Buffer.from([code - ESCAPE]));
    start = at + 1;
  }
  parts.push(Buffer.from(text.slice(start)));
  return Buffer.concat(parts);
}

/** By bytes, as the native program sorts. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  const odd = /[\ud800-\uffff]/;
  if (odd.test(a) || odd.test(b)) return Buffer.compare(encodeName(a), encodeName(b));
  return a < b ? -1 : 1;
}
