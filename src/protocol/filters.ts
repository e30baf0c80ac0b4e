// The `filters` query parameter: JSON, either {"label": {"a=b": true}} or the older
// {"label": ["a=b"]}. The refusals are worded as dockerd's.

import { GantryError } from "../base/index.ts";

/** Parses and checks `filters`; `accepted` undefined takes every name. */
export function parseFilters(
  json: string | undefined,
  accepted?: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const filters = new Map<string, string[]>();
  if (json === undefined || json === "") return filters;
  for (const [name, values] of Object.entries(parseObject(json))) {
    if (accepted !== undefined && !accepted.includes(name)) {
      throw new GantryError("invalid", `invalid filter '${name}'`);
    }
    filters.set(name, valuesOf(values));
  }
  return filters;
}

function parseObject(json: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new GantryError("invalid", "invalid filter", { cause });
  }
  if (parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new GantryError("invalid", "invalid filter");
  }
  return parsed as Record<string, unknown>;
}

function valuesOf(values: unknown): string[] {
  if (values === null) return [];
  if (Array.isArray(values) && values.every((value) => typeof value === "string")) return values;
  const isSet = typeof values === "object" && !Array.isArray(values);
  if (isSet && Object.values(values as object).every((on) => typeof on === "boolean")) {
    return Object.keys(values as object);
  }
  throw new GantryError("invalid", "invalid filter");
}
