// The value types of pflag and of docker's own flag values: text in, value out, with the wording
// of Go's strconv and time packages in the errors, because people search for those sentences.

import { parseDuration } from "./durations.ts";
import { GantryError } from "./errors.ts";
import { parseRamBytes } from "./sizes.ts";

/** What a flag of each type yields. Durations are nanoseconds, bytes are whole bytes. */
export interface FlagValues {
  bool: boolean;
  string: string;
  int: number;
  int64: number;
  uint: number;
  uint16: number;
  uint32: number;
  uint64: number;
  float: number;
  duration: number;
  bytes: number;
  /** As bytes, but "-1" means unlimited (--memory-swap). */
  bytesOrUnlimited: number;
  /** Repeatable; each value is taken whole. */
  list: string[];
  stringArray: string[];
  /** Repeatable; each value is split at commas as CSV. */
  stringSlice: string[];
  /** Repeatable key=value; a missing "=" gives an empty value. */
  map: Record<string, string>;
}
export type FlagType = keyof FlagValues;

type Setter = (text: string, previous: unknown) => unknown;

/** The function that turns a flag's text into its value. */
export function setterOf(type: FlagType): Setter {
  return SETTERS[type];
}

const SETTERS: { [T in FlagType]: (text: string, previous: unknown) => FlagValues[T] } = {
  bool: parseBool,
  string: (text) => text,
  int: (text) => integer(text, "ParseInt", -(2n ** 63n), 2n ** 63n - 1n),
  int64: (text) => integer(text, "ParseInt", -(2n ** 63n), 2n ** 63n - 1n),
  uint: (text) => integer(text, "ParseUint", 0n, 2n ** 64n - 1n),
  uint16: (text) => integer(text, "ParseUint", 0n, 2n ** 16n - 1n),
  uint32: (text) => integer(text, "ParseUint", 0n, 2n ** 32n - 1n),
  uint64: (text) => integer(text, "ParseUint", 0n, 2n ** 64n - 1n),
  float: parseFloat64,
  duration: parseDuration,
  bytes: parseRamBytes,
  bytesOrUnlimited: (text) => (text === "-1" ? -1 : parseRamBytes(text)),
  list: (text, previous) => [...((previous as string[]) ?? []), text],
  stringArray: (text, previous) => [...((previous as string[]) ?? []), text],
  stringSlice: (text, previous) => [...((previous as string[]) ?? []), ...splitCsv(text)],
  map: (text, previous) => {
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    return { ...(previous as object), [key]: equals < 0 ? "" : text.slice(equals + 1) };
  },
};

/** Go's strconv.ParseBool. */
export function parseBool(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw syntax("ParseBool", text);
}

function integer(text: string, verb: string, min: bigint, max: bigint): number {
  const match = /^([-+]?)(0x[0-9a-f_]+|0b[01_]+|0o?[0-7_]+|\d[\d_]*)$/i.exec(text);
  if (match === null || (verb === "ParseUint" && match[1] !== "")) throw syntax(verb, text);
  const digits = match[2]!.replaceAll("_", "").replace(/^0(?=[0-7])/, "0o");
  const value = match[1] === "-" ? -BigInt(digits) : BigInt(digits);
  if (value < min || value > max) {
    throw new GantryError(
      "invalid",
      `strconv.${verb}: parsing ${JSON.stringify(text)}: value out of range`,
    );
  }
  return Number(value);
}

function parseFloat64(text: string): number {
  if (/^[-+]?(inf|infinity)$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) throw syntax("ParseFloat", text);
  return Number(text);
}

function syntax(verb: string, text: string): GantryError {
  return new GantryError(
    "invalid",
    `strconv.${verb}: parsing ${JSON.stringify(text)}: invalid syntax`,
  );
}

/** One CSV record, as Go's encoding/csv reads it: "a,b", "\"a,b\",c". */
export function splitCsv(text: string): string[] {
  if (text === "") return [];
  const fields: string[] = [];
  let rest = text;
  for (;;) {
    const quoted = /^"((?:[^"]|"")*)"(?=,|$)/.exec(rest);
    if (quoted === null && rest.startsWith('"')) {
      throw new GantryError(
        "invalid",
        'parse error on line 1, column 1: extraneous or missing " in quoted-field',
      );
    }
    const comma = rest.indexOf(",", quoted?.[0].length ?? 0);
    fields.push(
      quoted ? quoted[1]!.replaceAll('""', '"') : comma < 0 ? rest : rest.slice(0, comma),
    );
    if (!quoted && fields.at(-1)!.includes('"')) {
      throw new GantryError("invalid", 'parse error on line 1: bare " in non-quoted-field');
    }
    if (comma < 0) return fields;
    rest = rest.slice(comma + 1);
  }
}
