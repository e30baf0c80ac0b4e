// Names for containers that were given none: adjective_surname, of people who worked on operating
// systems, networks and languages. With 60 × 60 pairs a digit is appended after a few collisions.

import { randomInt } from "node:crypto";
import { GantryError } from "../../base/index.ts";

const adjectives = (
  "able agile amber ample apt astute bold brave breezy brisk calm candid cheerful clever cosmic " +
  "crisp daring deft eager earnest easy elated fair fearless festive fond frank gentle glad " +
  "golden happy hardy humble jolly keen kind lively lucid lunar mellow merry modest neat nimble " +
  "noble patient placid plucky proud quick quiet ready serene sharp steady sunny tidy vivid warm " +
  "witty"
).split(" ");
const surnames = (
  "aho allen babbage backus baran bartik berners boole brooks cerf church codd conway corbato " +
  "cray dahl diffie dijkstra engelbart feinler floyd goldberg hamilton hamming hellman hennessy " +
  "hoare hopper iverson johnson joy kahn kay kernighan kilburn kleene knuth lamport lampson " +
  "liskov lovelace mccarthy milner minsky naur newell nygaard perlis perlman postel pike ritchie " +
  "shannon stallman stroustrup sutherland tarjan thompson turing wilkes"
).split(" ");

const ATTEMPTS_BEFORE_DIGIT = 5;
const ATTEMPTS_MAX = 100;
const NAME = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** A random name for which `isFree` holds. */
export function randomName(isFree: (name: string) => boolean): string {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const digit = attempt < ATTEMPTS_BEFORE_DIGIT ? "" : String(randomInt(10 ** 3));
    const name = `${pick(adjectives)}_${pick(surnames)}${digit}`;
    if (isFree(name)) return name;
  }
  throw new GantryError("exhausted", "No free container name was found: give one with --name");
}

/** Checks a name that a user gave; returns it without the leading slash. */
export function checkName(name: string): string {
  if (!NAME.test(name)) {
    throw new GantryError(
      "invalid",
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  }
  return name.replace(/^\//, "");
}

const pick = (words: readonly string[]): string => words[randomInt(words.length)]!;
