// The patterns of ${v#p}, ${v%p} and ${v/p/r}: `*`, `?` and escapes, no brackets. No regular
// expression is built: matching takes at most text length times pattern length, whatever the
// pattern, because both may come from a stranger.

import { TextFault } from "./dockerfile-error.ts";
import { patternWorkMax } from "./limits.ts";

/** Runs between stars; an element is a code point, or ANY for `?`. */
interface Pattern {
  runs: (string | typeof ANY)[][];
}
const ANY = Symbol("?");

function parsePattern(text: string): Pattern {
  const runs: Pattern["runs"] = [[]];
  const points = [...text];
  for (let index = 0; index < points.length; index++) {
    const point = points[index]!;
    const run = runs.at(-1)!;
    if (point === "*") runs.push([]);
    else if (point === "?") run.push(ANY);
    else if (point === "\\") {
      const next = points[++index] ?? "";
      if (!["*", "?", "\\", "}", "/"].includes(next)) {
        const why = `invalid escape '\\${next}'`;
        throw new TextFault(`invalid pattern (${text}) in substitution: ${why}`);
      }
      run.push(next);
    } else run.push(point);
  }
  return { runs };
}

function matchesAt(text: readonly string[], at: number, run: Pattern["runs"][number]): boolean {
  if (at < 0 || at + run.length > text.length) return false;
  for (let index = 0; index < run.length; index++) {
    if (run[index] !== ANY && run[index] !== text[at + index]) return false;
  }
  return true;
}

/** End of the match that starts at `start`, or -1. */
function matchFrom(text: readonly string[], start: number, p: Pattern, longest: boolean): number {
  const [first, ...rest] = p.runs;
  if (!matchesAt(text, start, first!)) return -1;
  let end = start + first!.length;
  for (let index = 0; index < rest.length; index++) {
    const run = rest[index]!;
    const isLast = index === rest.length - 1;
    let at: number;
    if (isLast && longest) {
      at = text.length - run.length;
      while (at >= end && !matchesAt(text, at, run)) at--;
      if (at < end) return -1;
    } else {
      at = end;
      while (at + run.length <= text.length && !matchesAt(text, at, run)) at++;
      if (at + run.length > text.length) return -1;
    }
    end = at + run.length;
  }
  return end;
}

function checked(value: string, pattern: string): { text: string[]; parsed: Pattern } {
  if (value.length * pattern.length > patternWorkMax) {
    throw new TextFault("pattern in substitution is too costly: shorten the pattern or the value");
  }
  return { text: [...value], parsed: parsePattern(pattern) };
}

/** ${v#p} and, with `longest`, ${v##p}. */
export function trimPrefix(value: string, pattern: string, longest: boolean): string {
  const { text, parsed } = checked(value, pattern);
  const end = matchFrom(text, 0, parsed, longest);
  return end < 0 ? value : text.slice(end).join("");
}

/** ${v%p} and, with `longest`, ${v%%p}. */
export function trimSuffix(value: string, pattern: string, longest: boolean): string {
  const { text, parsed } = checked(value, pattern);
  const reversed = { runs: parsed.runs.map((run) => run.toReversed()).reverse() };
  const end = matchFrom(text.reverse(), 0, reversed, longest);
  const kept = end < 0 ? text : text.slice(end);
  return kept.reverse().join("");
}

/** ${v/p/r} and, with `all`, ${v//p/r}; stars take as much as they can. */
export function replacePattern(
  value: string,
  pattern: string,
  replacement: string,
  all: boolean,
): string {
  const { text, parsed } = checked(value, pattern);
  const isOpen = parsed.runs.length > 1;
  const out: string[] = [];
  let copied = 0;
  let start = 0;
  let lastEnd = -1;
  while (start <= text.length) {
    const end = matchFrom(text, start, parsed, true);
    // Past a first run that fits, only the rest can fail; it will not fit further right either.
    if (end < 0 && isOpen && matchesAt(text, start, parsed.runs[0]!)) break;
    if (end < 0 || (end === start && start === lastEnd)) {
      start++;
      continue;
    }
    out.push(text.slice(copied, start).join(""), replacement);
    copied = end;
    lastEnd = end;
    start = end === start ? start + 1 : end;
    if (!all) break;
  }
  out.push(text.slice(copied).join(""));
  return out.join("");
}
