// `logs --grep`: a stranger's regular expression over a stranger's text, in linear time. V8 matches
// with its usual engine and, once that has gone back too often, goes on with its automaton, which
// never goes back. Expressions that only the first can run (\1, look-around) are refused.

import v8 from "node:v8";
import { GantryError, messageOf } from "../../base/index.ts";

const PATTERN_CHARACTERS_MAX = 1024;
let isPrepared = false;

/** Throws invalid for what is no expression, or none that runs in linear time. */
export function linearExpression(pattern: string, flags = ""): RegExp {
  if (!isPrepared) {
    v8.setFlagsFromString("--enable-experimental-regexp-engine");
    v8.setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");
    isPrepared = true;
  }
  if (pattern.length > PATTERN_CHARACTERS_MAX) {
    throw new GantryError(
      "invalid",
      `invalid pattern: it has more than ${PATTERN_CHARACTERS_MAX} characters`,
    );
  }
  try {
    new RegExp(pattern, `${flags}l`);
    return new RegExp(pattern, flags);
  } catch (cause) {
    throw new GantryError("invalid", `invalid pattern "${pattern}": ${messageOf(cause)}`, {
      cause,
    });
  }
}

export function compileSearch(pattern: string): (text: string) => boolean {
  const { text, flags } = withFlags(pattern);
  const expression = linearExpression(text, flags);
  return (line) => expression.test(line);
}

/** "(?i)…" as in Go and Perl. */
function withFlags(pattern: string): { text: string; flags: string } {
  return pattern.startsWith("(?i)")
    ? { text: pattern.slice("(?i)".length), flags: "i" }
    : { text: pattern, flags: "" };
}
