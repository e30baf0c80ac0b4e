// "Did you mean": commands and flags that are near to what was written. A guess is only made where
// it is a good one; of short words all are near to one another.

import type { FlagSpecs } from "../base/index.ts";
import { nearest } from "../build/index.ts";

const LONG_CHARS_MIN = 4;

/** The likely word, or undefined. */
export function likely(word: string, known: Iterable<string>): string | undefined {
  const candidates = [...known];
  const begun = candidates.filter((one) => one.startsWith(word));
  if (begun.length === 1 && word.length >= 2) return begun[0];
  const found = nearest(word, candidates);
  if (found === undefined) return undefined;
  const isLong = Math.min(word.length, found.length) >= LONG_CHARS_MIN;
  return isLong || found[0] === word[0]?.toLowerCase() ? found : undefined;
}

/** The lines beneath "unknown command", or nothing. */
export function suggestWord(word: string, known: Iterable<string>): string {
  const found = likely(word, known);
  return found === undefined ? "" : `\nDid you mean this?\n\t${found}\n`;
}

/** The lines beneath pflag's "unknown flag: --x", or nothing. */
export function suggestFlag(complaint: string, flags: FlagSpecs): string {
  const written = /^unknown flag: --(\S+)$/.exec(complaint)?.[1];
  if (written === undefined) return "";
  const shown = Object.entries(flags).filter(([, { hidden }]) => !hidden);
  const found = likely(
    written,
    shown.map(([name]) => name),
  );
  return found === undefined ? "" : `\nDid you mean this?\n\t--${found}\n`;
}
