// Flags as runc takes them: one dash or two, `--flag value` or `--flag=value`; all before the first
// argument, after which everything is an argument.

import { GantryError } from "../base/index.ts";

export type FlagKind = "bool" | "string" | "list" | "int";
export type FlagTable = Readonly<Record<string, FlagKind>>;
export type FlagValues = Record<string, string | boolean | number | string[] | undefined>;

/** Shorthands that mean one thing in every command. */
const SHORT: Readonly<Record<string, string>> = {
  b: "bundle",
  d: "detach",
  e: "env",
  f: "force",
  g: "additional-gids",
  c: "cap",
  h: "help",
  p: "process",
  q: "quiet",
  r: "resources",
  t: "tty",
  u: "user",
  v: "version",
  a: "all",
};

/** `short` overrides what a letter means in this command. */
export function parseRuncFlags(
  table: FlagTable,
  argv: readonly string[],
  short: Readonly<Record<string, string>> = {},
): { values: FlagValues; args: string[] } {
  const values: FlagValues = {};
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === "--") {
      at++;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    const [, name = "", given] = /^--?([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const key = name.length === 1 ? (short[name] ?? SHORT[name] ?? name) : name;
    const kind = table[key];
    if (kind === undefined) {
      throw new GantryError("invalid", `flag provided but not defined: -${name}`);
    }
    if (kind === "bool") {
      values[key] = given === undefined || given === "true" || given === "1";
      continue;
    }
    const text = given ?? argv[++at];
    if (text === undefined) throw new GantryError("invalid", `flag needs an argument: -${name}`);
    if (kind === "list") values[key] = [...((values[key] as string[] | undefined) ?? []), text];
    else if (kind === "string") values[key] = text;
    else values[key] = integer(name, text);
  }
  return { values, args: argv.slice(at) };
}

function integer(name: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value)) {
    throw new GantryError(
      "invalid",
      `invalid value ${JSON.stringify(text)} for flag -${name}: parse error`,
    );
  }
  return value;
}
