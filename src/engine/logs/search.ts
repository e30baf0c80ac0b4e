// `logs --grep`: a stranger's regular expression over a stranger's text, in linear time. V8 matches
// with its usual engine and, once that has gone back too often, goes on with its automaton, which
// never goes back. Expressions that only the first can run (\1, look-around) are refused.

import v8 from "node:v8";
import { GantryError, messageOf } from "../../base/index.ts";

/** Times an entry of 16 KiB: the longest that one search can hold others up, about 0.1 s. */
const PATTERN_CHARACTERS_MAX = 256;
const IGNORE_CASE = "(?i)";
let isPrepared = false;

/** Throws invalid for what is no expression, or none that runs in linear time. */
export function linearExpression(pattern: string): RegExp {
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
    new RegExp(pattern, "l");
    return new RegExp(pattern);
  } catch (cause) {
    throw new GantryError("invalid", `invalid pattern "${pattern}": ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** "(?i)" before an expression, as in Go and Perl: in lower case on both sides, since V8's
 * automaton has no flag for it. */
export function compileSearch(pattern: string): (text: string) => boolean {
  if (!pattern.startsWith(IGNORE_CASE)) {
    const expression = linearExpression(pattern);
    return (line) => expression.test(line);
  }
  const lower = pattern
    .slice(IGNORE_CASE.length)
    .replace(/\\.|[^\\]+/gs, (part) => (part.startsWith("\\") ? part : part.toLowerCase()));
  const expression = linearExpression(lower);
  return (line) => expression.test(line.toLowerCase());
}
