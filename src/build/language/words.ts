// How the arguments of an instruction are cut into words. The builder has several ways, and which
// one an instruction has decides what quotes and escapes mean in it. Each word keeps its offset, so
// that an error can point at it.

import { LineFault } from "./dockerfile-error.ts";
import { type EscapeToken, isSpace } from "./shell-lexer.ts";

export interface Word {
  text: string;
  /** Into the logical line. */
  offset: number;
}

/** Cut at runs of blanks, quotes being ordinary: FROM, EXPOSE, the shell form of COPY, VOLUME. */
export function blankWords(word: Word): Word[] {
  return Array.from(word.text.matchAll(/[^\t\v\f\r ]+/g), (match) => ({
    text: match[0],
    offset: word.offset + match.index,
  }));
}

/** Cut at blanks outside quotes, quotes and escapes kept: ENV, LABEL, ARG. */
export function quotedWords(word: Word, token: EscapeToken): Word[] {
  const { text, offset } = word;
  const words: Word[] = [];
  let start = -1;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote === "" && isSpace(char)) {
      if (start >= 0) words.push({ text: text.slice(start, at), offset: offset + start });
      start = -1;
      continue;
    }
    if (start < 0) start = at;
    if (char === token && quote !== "'") at++;
    else if (quote !== "") {
      if (char === quote) quote = "";
    } else if (char === "'" || char === '"') quote = char;
  }
  if (start >= 0) {
    // An escape at the very end escapes nothing and is dropped.
    const tail = text.slice(start);
    const kept = endsInLoneEscape(tail, token) ? tail.slice(0, -1) : tail;
    if (kept !== "") words.push({ text: kept, offset: offset + start });
  }
  return words;
}

function endsInLoneEscape(text: string, token: string): boolean {
  let count = 0;
  while (text[text.length - 1 - count] === token) count++;
  return count % 2 === 1;
}

/**
 * Takes the leading `--flag` words from the arguments. Quotes are removed from them and a backslash
 * escapes, whatever the escape directive says; a lone `--` ends them.
 */
export function takeFlags(word: Word): { flags: Word[]; rest: Word } {
  const { text, offset } = word;
  const flags: Word[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isSpace(text[at]!)) at++;
    if (!text.startsWith("--", at)) break;
    const start = at;
    const { value, end } = flagWord(text, at);
    at = end;
    if (value === "--") break;
    flags.push({ text: value, offset: offset + start });
  }
  while (at < text.length && isSpace(text[at]!)) at++;
  const rest = text.slice(at).trimEnd();
  return { flags, rest: { text: rest, offset: offset + at } };
}

function flagWord(text: string, start: number): { value: string; end: number } {
  let value = "";
  let quote = "";
  let at = start;
  for (; at < text.length; at++) {
    const char = text[at]!;
    if (quote === "" && isSpace(char)) break;
    if (char === "\\") {
      at++;
      value += text[at] ?? "";
    } else if (quote !== "") {
      if (char === quote) quote = "";
      else value += char;
    } else if (char === "'" || char === '"') quote = char;
    else value += char;
  }
  return { value, end: Math.min(at, text.length) };
}

const NOT_STRINGS = "when using JSON array syntax, arrays must be comprised of strings only";

/** The exec form: a JSON array of strings. Undefined when it is not one and so the shell form. */
export function jsonWords(word: Word): string[] | undefined {
  if (!/^\s*\[/.test(word.text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(word.text);
  } catch {
    return undefined; // Docker takes what is not JSON for a shell command
  }
  if (!Array.isArray(value)) return undefined;
  if (value.every((item) => typeof item === "string")) return value as string[];
  throw new LineFault(NOT_STRINGS, word.offset, word.text.length, "put each word in double quotes");
}
