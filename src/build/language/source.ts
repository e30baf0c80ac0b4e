// The text of a Dockerfile with positions in it. Lines and columns count from 1; a column is a
// UTF-16 code unit of the line as it was written, so an editor can jump there. Instructions span
// several lines, so a logical line remembers where each of its pieces came from.

import { TextDecoder } from "node:util";
import { GantryError } from "../../base/index.ts";
import { dockerfileBytesMax, excerptLinesMax } from "./limits.ts";

export interface Position {
  line: number;
  column: number;
}
/** From `start` up to, not including, `end`. */
export interface SourceRange {
  start: Position;
  end: Position;
}

export interface SourceText {
  /** As the user called it: "Dockerfile", "-" … */
  name: string;
  /** As it came: what the checks answer with. */
  bytes: Uint8Array;
  text: string;
  /** Lines without their line ends. */
  lines: readonly string[];
}

/** Decodes a Dockerfile: UTF-8 with or without a byte order mark. Throws invalid. */
export function readSource(bytes: Uint8Array | string, name = "Dockerfile"): SourceText {
  const size = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.byteLength;
  if (size > dockerfileBytesMax) {
    throw new GantryError("invalid", `${name} is larger than ${dockerfileBytesMax} bytes`);
  }
  let text = typeof bytes === "string" ? bytes.replace(/^\ufeff/, "") : decode(bytes, name);
  const nul = text.indexOf("\0");
  if (nul >= 0) {
    const line = text.slice(0, nul).split("\n").length;
    const message = `${name} line ${line} contains a NUL byte: it is not a text file in UTF-8`;
    throw new GantryError("invalid", message, { detail: { file: name, line } });
  }
  if (text.endsWith("\n")) text = text.slice(0, -1);
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  return { name, bytes: Buffer.from(bytes as Uint8Array), text, lines };
}

function decode(bytes: Uint8Array, name: string): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw new GantryError("invalid", `${name} is in UTF-16: save it as UTF-8`);
  }
  return new TextDecoder("utf-8").decode(bytes); // drops the byte order mark
}

/** Text joined from pieces of lines; `positionAt` leads back to the file. */
export class LogicalLine {
  #pieces: { at: number; line: number; column: number }[] = [];
  #texts: string[] = [];
  #length = 0;
  #text: string | undefined;

  /** `column` counts from 1. */
  append(text: string, line: number, column: number): void {
    this.#pieces.push({ at: this.#length, line, column });
    this.#texts.push(text);
    this.#length += text.length;
    this.#text = undefined;
  }

  get text(): string {
    this.#text ??= this.#texts.join("");
    return this.#text;
  }

  positionAt(offset: number): Position {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#pieces[middle]!.at <= offset) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low];
    if (piece === undefined) return { line: 1, column: 1 };
    return { line: piece.line, column: piece.column + Math.max(0, offset - piece.at) };
  }

  rangeOf(offset: number, length: number): SourceRange {
    const start = this.positionAt(offset);
    const last = this.positionAt(offset + Math.max(0, length - 1));
    return { start, end: { line: last.line, column: last.column + (length > 0 ? 1 : 0) } };
  }
}

/**
 * The lines of `range` with a few around them, as BuildKit prints them beneath an error or a
 * warning; the first line names file and line.
 */
export function excerptOf(source: SourceText, range: SourceRange): string {
  const { lines } = source;
  let first = range.start.line;
  let last = Math.min(range.end.line, lines.length);
  if (first < 1 || first > lines.length) return "";
  last = Math.min(Math.max(first, last), first + excerptLinesMax - 1);
  const marked = { first, last };
  let padding = first === last ? 4 : 2;
  while (padding > 0) {
    if (first > 1) {
      first--;
      padding--;
    }
    if (last < lines.length) {
      last++;
      padding--;
    }
    padding--;
  }
  const rule = "-".repeat(20);
  const shown = lines.slice(first - 1, last).map((line, index) => {
    const number = first + index;
    const mark = number >= marked.first && number <= marked.last ? ">>>" : "   ";
    return ` ${String(number).padStart(3)} | ${mark} ${line}`;
  });
  return [`${source.name}:${marked.first}`, rule, ...shown, rule, ""].join("\n");
}
