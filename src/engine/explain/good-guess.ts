// "Did you mean": only where the guess is likely, since of short names many are near one another.

import { nearest } from "../../build/index.ts";

export function goodGuess(word: string, names: Iterable<string>): string | undefined {
  const found = nearest(word, names);
  if (found === undefined) return undefined;
  const letters = (text: string) => [...text].sort().join("");
  const likely =
    found[0] === word[0] || letters(found) === letters(word) || found.slice(1) === word;
  return likely ? found : undefined;
}
