// Pairs of categories (MCS): two containers whose labels differ in them cannot touch one another's
// files and processes. A pair is taken by whoever has it in a label; nothing else remembers it, so
// that it is free again with the container's record and is known after a crash. Pure.

import { GantryError } from "../../base/index.ts";

const CATEGORIES = 1024;
/** Of files that belong to no container in particular. */
export const NOBODYS_LEVEL = `s0:c${CATEGORIES - 2},c${CATEGORIES - 1}`;
const GUESSES_MAX = 64;

const levelOf = (low: number, high: number): string => `s0:c${low},c${high}`;

/** A level that is not among those taken; `random` gives whole numbers below its argument. Throws
 * exhausted when there is none. */
export function freeLevel(taken: ReadonlySet<string>, random: (below: number) => number): string {
  for (let guess = 0; guess < GUESSES_MAX; guess++) {
    const [a, b] = [random(CATEGORIES), random(CATEGORIES)];
    const level = levelOf(Math.min(a, b), Math.max(a, b));
    if (a !== b && level !== NOBODYS_LEVEL && !taken.has(level)) return level;
  }
  for (let low = 0; low < CATEGORIES; low++) {
    for (let high = low + 1; high < CATEGORIES; high++) {
      const level = levelOf(low, high);
      if (level !== NOBODYS_LEVEL && !taken.has(level)) return level;
    }
  }
  throw new GantryError("exhausted", "all pairs of SELinux categories are taken by containers");
}
