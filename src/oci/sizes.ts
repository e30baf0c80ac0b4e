// Numbers as runc's update takes them: sizes with units of 1024, integers as Go parses them.

import { GantryError } from "../base/index.ts";

const POWERS = "kmgtp";
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** "512", "1.5g", "64MiB", "64 kb"; "-1" is no limit. Throws invalid. */
export function parseSize(name: string, text: string): number {
  if (text === "-1") return -1;
  const match = /^(\d+(?:\.\d+)?|\.\d+) ?([kKmMgGtTpP])?([iI]?[bB])?$/.exec(text);
  const bad = () =>
    new GantryError("invalid", `invalid value for ${name}: invalid size: '${text}'`);
  if (!match || (match[3]?.toLowerCase() === "ib" && !match[2])) throw bad();
  const power = match[2] === undefined ? 0 : POWERS.indexOf(match[2].toLowerCase()) + 1;
  const bytes = Math.floor(Number(match[1]) * 1024 ** power);
  if (bytes > Number.MAX_SAFE_INTEGER) throw bad();
  return bytes;
}

/** Throws invalid for what is no number, or too large for the kernel's. */
export function parseNumber(name: string, text: string, { signed }: { signed: boolean }): number {
  const isNumber = (signed ? /^[+-]?\d+$/ : /^\d+$/).test(text);
  const parser = signed ? "ParseInt" : "ParseUint";
  const bad = (why: string) => {
    const quoted = JSON.stringify(text);
    const cause = `strconv.${parser}: parsing ${quoted}: ${why}`;
    return new GantryError("invalid", `invalid value for ${name}: ${cause}`);
  };
  if (!isNumber) throw bad("invalid syntax");
  const value = BigInt(text.replace(/^\+/, ""));
  const isInRange = signed ? value <= INT64_MAX && value >= -INT64_MAX : value <= UINT64_MAX;
  if (!isInRange || !Number.isSafeInteger(Number(value))) throw bad("value out of range");
  return Number(value);
}
