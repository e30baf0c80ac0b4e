// Flags as runc takes them: one dash or two, `--flag value` or `--flag=value`; all before the first
// argument, after which everything is an argument. What is wrong is told in the words of Go's flag
// package, which callers may have met.

import { GantryError } from "../base/index.ts";

export type FlagKind = "bool" | "string" | "list" | "int" | "ints" | "duration";

export interface Flag {
  kind: FlagKind;
  about: string;
  /** One letter that means the same. */
  short?: string;
  /** Not in the help text. */
  hidden?: boolean;
}
export type FlagTable = Readonly<Record<string, Flag>>;
export type FlagValue = string | boolean | number | string[] | number[];

/** A flag that is wrong: the command's help is shown with it. */
export class UsageError extends GantryError {
  constructor(message: string) {
    super("invalid", message);
  }
}

/** What was given, by kind: asking for a flag of another kind is a mistake of the program. */
export class FlagValues {
  #values: Readonly<Record<string, FlagValue>>;

  constructor(values: Readonly<Record<string, FlagValue>> = {}) {
    this.#values = values;
  }
  has(name: string): boolean {
    return name in this.#values;
  }
  /** "" where it was not given. */
  text(name: string): string {
    return (this.#values[name] as string | undefined) ?? "";
  }
  flag(name: string): boolean {
    return this.#values[name] === true;
  }
  /** 0 where it was not given. */
  int(name: string): number {
    return (this.#values[name] as number | undefined) ?? 0;
  }
  /** In nanoseconds. */
  duration(name: string, fallback: number): number {
    return (this.#values[name] as number | undefined) ?? fallback;
  }
  list(name: string): readonly string[] {
    return (this.#values[name] as string[] | undefined) ?? [];
  }
  ints(name: string): readonly number[] {
    return (this.#values[name] as number[] | undefined) ?? [];
  }
}

export function parseRuncFlags(
  table: FlagTable,
  argv: readonly string[],
): { values: FlagValues; args: string[] } {
  const values: Record<string, FlagValue> = {};
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === "--") {
      at++;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    const [, name = "", given] = /^--?([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const found = find(table, name);
    if (found === undefined) {
      throw new UsageError(`flag provided but not defined: -${name}`);
    }
    const [key, { kind }] = found;
    if (kind === "bool") {
      values[key] = given === undefined ? true : parseBool(name, given);
      continue;
    }
    const text = given ?? argv[++at];
    if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    const before = values[key] as never[] | undefined;
    if (kind === "list") values[key] = [...(before ?? []), text] as string[];
    else if (kind === "ints") values[key] = [...(before ?? []), parseInteger(name, text)];
    else if (kind === "int") values[key] = parseInteger(name, text);
    else if (kind === "duration") values[key] = parseDuration(name, text);
    else values[key] = text;
  }
  return { values: new FlagValues(values), args: argv.slice(at) };
}

function find(table: FlagTable, name: string): [string, Flag] | undefined {
  if (Object.hasOwn(table, name)) return [name, table[name]!];
  return Object.entries(table).find(([, { short }]) => short === name);
}

const TRUE = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE = ["0", "f", "F", "false", "FALSE", "False"];

function parseBool(name: string, text: string): boolean {
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new UsageError(`invalid boolean value ${JSON.stringify(text)} for -${name}: parse error`);
}

function parseInteger(name: string, text: string): number {
  const value = Number(text);
  if (/^([+-]?\d+|0[xob][0-9a-fA-F]+)$/.test(text) && Number.isSafeInteger(value)) return value;
  const quoted = JSON.stringify(text);
  throw new UsageError(
    `invalid value ${quoted} for flag -${name}: strconv.ParseInt: parsing ${quoted}: invalid syntax`,
  );
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** "5s", "1m30s", "1.5h", in nanoseconds. */
function parseDuration(name: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
  const isWhole = parts.map(([part]) => part).join("") === text.replace(/^[+-]/, "");
  if (text === "0") return 0;
  if (parts.length === 0 || !isWhole) {
    const quoted = JSON.stringify(text);
    throw new UsageError(`invalid value ${quoted} for flag -${name}: parse error`);
  }
  const sum = parts.reduce((total, [, number, unit]) => total + Number(number) * UNITS[unit!]!, 0);
  return text.startsWith("-") ? -sum : sum;
}
