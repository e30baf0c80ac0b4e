// Query parameters as data: each has a type, and a request's query string is parsed once, by
// dockerd's rules (any value but "", 0, no, false and none is true).

import { GantryError } from "../base/index.ts";
import { parseFilters } from "./filters.ts";

export type QueryType =
  | "bool"
  | "bool=true" // true when the parameter is missing
  | "string"
  | "strings" // may be repeated
  | "int" // Go's strconv.Atoi
  | "uint32"
  | readonly string[] // filters, with the names that the route accepts
  | { readonly filters: readonly string[] } // with the names it knows; others say nothing
  | "filters"; // filters whose names are not checked

type ValueOf<T extends QueryType> = T extends "bool" | "bool=true"
  ? boolean
  : T extends "int"
    ? number | undefined
    : T extends "uint32"
      ? number
      : T extends "string"
        ? string | undefined
        : T extends "strings"
          ? string[]
          : ReadonlyMap<string, readonly string[]>;
export type QuerySpec = Readonly<Record<string, QueryType>>;
export type QueryValues<Q extends QuerySpec> = { [K in keyof Q]: ValueOf<Q[K]> };

/** Reads the declared parameters; undeclared ones are ignored, as docker does. */
export function parseQuery<Q extends QuerySpec>(
  spec: Q,
  parameters: URLSearchParams,
): QueryValues<Q> {
  const values: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(spec)) {
    values[name] = readParameter(name, type, parameters);
  }
  return values as QueryValues<Q>;
}

function readParameter(name: string, type: QueryType, parameters: URLSearchParams): unknown {
  const value = parameters.get(name) ?? undefined;
  if (typeof type === "object") return parseFilters(value, "filters" in type ? undefined : type);
  switch (type) {
    case "bool":
      return isTrue(value);
    case "bool=true":
      return value === undefined || isTrue(value);
    case "string":
      return value;
    case "strings":
      return parameters.getAll(name);
    case "int":
      return value === undefined || value === "" ? undefined : atoi(value);
    case "uint32":
      return parseSize(name, value ?? "");
    case "filters":
      return parseFilters(value);
  }
}

function isTrue(value: string | undefined): boolean {
  return !["", "0", "no", "false", "none"].includes((value ?? "").trim().toLowerCase());
}

function atoi(value: string): number {
  const number = /^[-+]?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  const why = Number.isNaN(number) ? "invalid syntax" : "value out of range";
  throw new GantryError("invalid", `strconv.Atoi: parsing ${JSON.stringify(value)}: ${why}`);
}

// The only uint32 parameters are the height and width of a terminal.
function parseSize(name: string, value: string): number {
  const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number >= 0 && number <= 0xffff_ffff) return number;
  const what = name === "h" ? "height" : name === "w" ? "width" : name;
  const why = Number.isNaN(number) ? "invalid syntax" : "value out of range";
  throw new GantryError("invalid", `invalid resize ${what} ${JSON.stringify(value)}: ${why}`);
}
