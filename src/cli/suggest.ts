// "Did you mean": commands and flags that are near to what was written. A guess is only made where
// it is a good one; of short words all are near to one another.

import type { FlagSpecs } from "../base/index.ts";
import { nearest } from "../build/index.ts";

/** The likely word, or undefined. */
export function likely(word: string, known: Iterable<string>): string | undefined {
  const candidates = [...known];
  const begun = candidates.filter((one) => one.startsWith(word));
  if (begun.length === 1 && word.length >= 2) return begun[0];
  const found = nearest(word, candidates);
  if (found === undefined) return undefined;
  return isGood(word.toLowerCase(), found) ? found : undefined;
}

/** People get the first letter right, or swap letters, or leave some at an end out. */
function isGood(word: string, found: string): boolean {
  const letters = (text: string) => [...text].sort().join("");
  return (
    word[0] === found[0] ||
    letters(word) === letters(found) ||
    found.includes(word) ||
    word.includes(found)
  );
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
