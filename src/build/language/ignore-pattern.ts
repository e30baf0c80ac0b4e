// One pattern of an ignore file, compiled. Most are plain names and get a comparison; patterns with
// few stars get a regular expression; the others are run as a state machine, because a regular
// expression with many stars takes time beyond all bounds, and the file comes from a stranger.

import { TextFault } from "./dockerfile-error.ts";

type Token =
  | { kind: "char"; char: string }
  | { kind: "any" } // ?: one character, not /
  | { kind: "star" } // *: any run without /
  | { kind: "class"; negated: boolean; ranges: [string, string][] }
  | { kind: "folders" } // ** with something after it: nothing, or folders with their slash
  | { kind: "rest" }; // ** at the end: anything

const STARS_IN_REGEXP_MAX = 2;

export interface CompiledPattern {
  /** Cleaned, without `!`. */
  text: string;
  negated: boolean;
  /** The whole path fits; parents are the matcher's business. */
  matches(path: string): boolean;
  /** Something below this folder may fit. */
  mayMatchBelow(folder: string): boolean;
}

/** Compiles a cleaned pattern. Throws a TextFault when it is malformed. */
export function compilePattern(text: string, negated: boolean): CompiledPattern {
  const tokens = tokenize(text);
  if (tokens.every((token) => token.kind === "char")) {
    const name = tokens.map(({ char }) => char).join("");
    return {
      text,
      negated,
      matches: (path) => path === name,
      mayMatchBelow: (folder) => name.startsWith(`${folder}/`),
    };
  }
  const stars = tokens.filter(({ kind }) => ["star", "folders", "rest"].includes(kind)).length;
  const machine = new PatternMachine(tokens);
  const expression = stars <= STARS_IN_REGEXP_MAX ? regexpOf(tokens) : undefined;
  return {
    text,
    negated,
    matches: expression
      ? (path) => expression.test(path)
      : (path) => machine.accepts(machine.run(path)),
    mayMatchBelow: (folder) => machine.run(`${folder}/`).size > 0,
  };
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const chars = [...text];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!;
    if (char === "*" && chars[at + 1] === "*") {
      at++;
      while (chars[at + 1] === "*") at++;
      if (chars[at + 1] === "/") at++;
      const isLast = at + 1 >= chars.length;
      const previous = tokens.at(-1)?.kind;
      if (isLast) tokens.push({ kind: "rest" });
      else if (previous !== "folders") tokens.push({ kind: "folders" });
    } else if (char === "*") tokens.push({ kind: "star" });
    else if (char === "?") tokens.push({ kind: "any" });
    else if (char === "[") {
      const { token, end } = classOf(chars, at, text);
      tokens.push(token);
      at = end;
    } else if (char === "\\") {
      const next = chars[++at];
      if (next === undefined) throw malformed(text);
      tokens.push({ kind: "char", char: next });
    } else tokens.push({ kind: "char", char });
  }
  return tokens;
}

function malformed(text: string): TextFault {
  return new TextFault(`syntax error in pattern ${JSON.stringify(text)}`);
}

function classOf(
  chars: readonly string[],
  start: number,
  text: string,
): { token: Token; end: number } {
  let at = start + 1;
  const negated = chars[at] === "^";
  if (negated) at++;
  const ranges: [string, string][] = [];
  const next = (): string => {
    if (chars[at] === "\\") at++;
    const char = chars[at++];
    if (char === undefined) throw malformed(text);
    return char;
  };
  while (chars[at] !== "]" || ranges.length === 0) {
    const first = next();
    if (chars[at] === "-" && chars[at + 1] !== "]") {
      at++;
      const last = next();
      if (last < first) throw malformed(text);
      ranges.push([first, last]);
    } else ranges.push([first, first]);
  }
  return { token: { kind: "class", negated, ranges }, end: at };
}

function regexpOf(tokens: readonly Token[]): RegExp {
  return new RegExp(`^${tokens.map(sourceOf).join("")}$`, "su");
}

function sourceOf(token: Token): string {
  switch (token.kind) {
    case "char":
      return escapeRegExp(token.char);
    case "any":
      return "[^/]";
    case "star":
      return "[^/]*";
    case "folders":
      return "(?:.*/)?";
    case "rest":
      return ".*";
    case "class": {
      const ranges = token.ranges.map(([a, b]) => `${inBrackets(a)}-${inBrackets(b)}`);
      return `(?!/)[${token.negated ? "^" : ""}${ranges.join("")}]`;
    }
  }
}

function escapeRegExp(char: string): string {
  return /[\^$\\.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}

/** Between brackets a dash is special too; elsewhere it must not be escaped. */
function inBrackets(char: string): string {
  return char === "-" ? "\\-" : escapeRegExp(char);
}

/**
 * Runs tokens over a text, all possibilities at once: length times tokens, never more. State 2n is
 * before token n; state 2n+1 is inside token n, which is a `**` that has begun to take folders.
 */
class PatternMachine {
  readonly #tokens: readonly Token[];

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  accepts(states: ReadonlySet<number>): boolean {
    return states.has(2 * this.#tokens.length);
  }

  /** The states after the text; none when nothing can fit any more. */
  run(text: string): ReadonlySet<number> {
    let states = this.#closed(new Set([0]));
    for (const char of text) {
      const next = new Set<number>();
      for (const state of states) this.#advance(state, char, next);
      states = this.#closed(next);
      if (states.size === 0) break;
    }
    return states;
  }

  #advance(state: number, char: string, next: Set<number>): void {
    const token = this.#tokens[state >> 1];
    const after = (state | 1) + 1;
    switch (token?.kind) {
      case "char":
        if (token.char === char) next.add(after);
        return;
      case "any":
        if (char !== "/") next.add(after);
        return;
      case "star":
        if (char !== "/") next.add(state);
        return;
      case "class":
        if (char !== "/" && inClass(token, char)) next.add(after);
        return;
      case "folders":
        next.add(state | 1);
        if (char === "/") next.add(after);
        return;
      case "rest":
        next.add(state);
    }
  }

  /** Adds the states reached without reading: a star may be empty, a `**` no folder at all. */
  #closed(states: Set<number>): Set<number> {
    for (const state of states) {
      const kind = state % 2 === 0 ? this.#tokens[state >> 1]?.kind : undefined;
      if (kind === "star" || kind === "rest" || kind === "folders") states.add(state + 2);
    }
    return states;
  }
}

function inClass(token: Token & { kind: "class" }, char: string): boolean {
  const inside = token.ranges.some(([first, last]) => char >= first && char <= last);
  return inside !== token.negated;
}
