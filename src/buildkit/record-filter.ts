// containerd's filters, as BuildKit's clients send them: `type==regular,description~=npm`. The
// selectors of one filter must all hold, of several filters one.

import { GantryError } from "../base/index.ts";

export type Fields = Readonly<Record<string, string>>;
type Test = (fields: Fields) => boolean;

const SELECTOR =
  /^\s*([A-Za-z_][\w.-]*)\s*(?:(==|!=|~=)\s*("(?:[^"\\]|\\.)*"|[^,\s"]+)\s*)?(?:,|$)/;
const PATTERN_CHARACTERS_MAX = 1_000;

/** Throws invalid. No filter: everything. */
export function recordFilter(filters: readonly string[]): Test {
  const tests = filters.map(filterOf);
  return (fields) => tests.length === 0 || tests.some((test) => test(fields));
}

function filterOf(text: string): Test {
  const tests: Test[] = [];
  for (let rest = text; rest !== ""; ) {
    const found = SELECTOR.exec(rest);
    if (!found) throw invalid(text);
    const [whole, name = "", operator, value = ""] = found;
    tests.push(testOf(name, operator, value.startsWith('"') ? unquoted(value, text) : value));
    rest = rest.slice(whole.length);
  }
  return (fields) => tests.every((test) => test(fields));
}

function testOf(name: string, operator: string | undefined, value: string): Test {
  if (operator === undefined) return (fields) => fields[name] !== undefined;
  if (operator === "==") return (fields) => fields[name] === value;
  if (operator === "!=") return (fields) => fields[name] !== value;
  const fits = patternOf(value);
  return (fields) => fields[name] !== undefined && fits(fields[name]);
}

/** A stranger's expression would run on the daemon's thread for as long as it likes: of the signs
 * that filters are written with, `^` in front, `$` at the end and `.*` are taken, everything else
 * stands for itself. The pieces between are looked for one after the other, each once: an
 * expression of many `.*` would try every way to place them. */
function patternOf(text: string): (value: string) => boolean {
  if (text.length > PATTERN_CHARACTERS_MAX) throw invalid(text);
  const isFirst = text.startsWith("^");
  const isLast = text.endsWith("$");
  const pieces = text.slice(isFirst ? 1 : 0, isLast ? -1 : undefined).split(".*");
  const last = pieces.at(-1)!;
  return (value) => {
    if (pieces.length === 1 && isFirst && isLast) return value === last;
    let at = 0;
    for (const [index, piece] of pieces.entries()) {
      const isEnd = isLast && index === pieces.length - 1;
      const found = isEnd ? value.length - piece.length : value.indexOf(piece, at);
      if (found < at || !value.startsWith(piece, found)) return false;
      if (index === 0 && isFirst && found !== 0) return false;
      at = found + piece.length;
    }
    return true;
  };
}

function unquoted(text: string, filter: string): string {
  try {
    return JSON.parse(text) as string;
  } catch (cause) {
    throw new GantryError("invalid", `invalid filter ${JSON.stringify(filter)}`, { cause });
  }
}

const invalid = (filter: string): GantryError =>
  new GantryError("invalid", `invalid filter ${JSON.stringify(filter)}`);
