// --filter: repeated NAME=VALUE, as the query parameter `filters` wants it.

import { type FlagSpec, GantryError } from "../../base/index.ts";

export type Filters = Record<string, string[]>;

/** A --filter flag; the value is {name: [values]}. */
export const filterFlag = (usage: string, shorthand?: string) =>
  ({
    type: "custom",
    valueName: "filter",
    parse: parseFilter as (text: string, previous: unknown) => Filters,
    default: {} as Filters,
    usage,
    ...(shorthand === undefined ? {} : { shorthand }),
  }) satisfies FlagSpec;

function parseFilter(text: string, previous: unknown): Filters {
  const before = (previous ?? {}) as Filters;
  if (text === "") return before;
  const equals = text.indexOf("=");
  if (equals < 0) throw new GantryError("invalid", "bad format of filter (expected name=value)");
  const name = text.slice(0, equals).trim().toLowerCase();
  const value = text.slice(equals + 1).trim();
  return { ...before, [name]: [...new Set([...(before[name] ?? []), value])] };
}

/** The query's text: {"name": {"value": true}}; nothing when there are no filters. */
export function encodeFilters(filters: Filters): string | undefined {
  const names = Object.keys(filters).sort();
  if (names.length === 0) return undefined;
  const encoded = names.map((name) => [
    name,
    Object.fromEntries([...filters[name]!].sort().map((value) => [value, true])),
  ]);
  return JSON.stringify(Object.fromEntries(encoded));
}
