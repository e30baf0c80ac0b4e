// Schemas of request bodies as data, read with the leniency of Go's encoding/json, because every
// Docker client was written against it: unknown fields are ignored, keys match without regard to
// case, null means absent. A wrong type is refused in Go's words.

import { GantryError } from "../base/index.ts";

export type Schema<T> =
  | { kind: "string" | "bool" | "float" | "any" | "emptyObject" | "stringOrList" }
  | { kind: "integer"; goType: string; min: number; max: number }
  | { kind: "list"; item: Schema<unknown>; length?: number }
  | { kind: "map"; value: Schema<unknown> }
  | { kind: "object"; name: string; fields: { [field: string]: Schema<unknown> } }
  | { kind: "never"; readonly type?: T };

const integer = (goType: string, min: number, max: number): Schema<number> => ({
  kind: "integer",
  goType,
  min,
  max,
});
export const text: Schema<string> = { kind: "string" };
export const flag: Schema<boolean> = { kind: "bool" };
export const float: Schema<number> = { kind: "float" };
export const any: Schema<unknown> = { kind: "any" };
/** `struct{}`: the value of a set such as ExposedPorts. */
export const emptyObject: Schema<object> = { kind: "emptyObject" };
/** Go's strslice: "cmd" is read as ["cmd"]. */
export const textOrList: Schema<string[]> = { kind: "stringOrList" };
export const int = integer("int", -(2 ** 63), 2 ** 63);
export const int64 = integer("int64", -(2 ** 63), 2 ** 63);
export const uint = integer("uint", 0, 2 ** 64);
export const uint16 = integer("uint16", 0, 65535);
export const uint32 = integer("uint32", 0, 2 ** 32 - 1);
export const uint64 = integer("uint64", 0, 2 ** 64);

export function list<T>(item: Schema<T>, length?: number): Schema<T[]> {
  return { kind: "list", item, ...(length === undefined ? {} : { length }) };
}
export function map<T>(value: Schema<T>): Schema<Record<string, T>> {
  return { kind: "map", value };
}
/** `name` is the Go type's, for error messages; every field of T must have a schema. */
export function object<T>(
  name: string,
  fields: { [K in keyof Required<T>]: Schema<unknown> },
): Schema<T> {
  return { kind: "object", name, fields };
}

/** Reads `value` by `schema`; undefined stands for null. Throws invalid in Go's words. */
export function decode<T>(schema: Schema<T>, value: unknown): T | undefined {
  return read(schema, value, { struct: "", path: "" }) as T | undefined;
}

type Place = { struct: string; path: string };

function read(schema: Schema<unknown>, value: unknown, at: Place): unknown {
  if (value === null || value === undefined) return undefined;
  switch (schema.kind) {
    case "any":
      return value;
    case "string":
      return typeof value === "string" ? value : wrong(value, schema, at);
    case "bool":
      return typeof value === "boolean" ? value : wrong(value, schema, at);
    case "float":
      return typeof value === "number" ? value : wrong(value, schema, at);
    case "integer":
      return readInteger(schema, value, at);
    case "emptyObject":
      return isObject(value) ? {} : wrong(value, schema, at);
    case "stringOrList":
      if (typeof value === "string") return [value];
      return readList({ kind: "list", item: text }, value, at);
    case "list":
      return readList(schema, value, at);
    case "map":
      return readMap(schema, value, at);
    case "object":
      return readObject(schema, value, at);
    case "never":
      return wrong(value, schema, at);
  }
}

function readInteger(
  schema: Extract<Schema<unknown>, { kind: "integer" }>,
  value: unknown,
  at: Place,
): unknown {
  const fits =
    typeof value === "number" &&
    Number.isInteger(value) &&
    value >= schema.min &&
    value <= schema.max;
  return fits ? value : wrong(value, schema, at);
}

function readList(
  schema: { kind: "list"; item: Schema<unknown>; length?: number },
  value: unknown,
  at: Place,
): unknown {
  if (!Array.isArray(value)) return wrong(value, schema, at);
  const items = value.map((item) => read(schema.item, item, at) ?? zero(schema.item));
  if (schema.length === undefined) return items;
  while (items.length < schema.length) items.push(zero(schema.item));
  return items.slice(0, schema.length);
}

function readMap(
  schema: { kind: "map"; value: Schema<unknown> },
  value: unknown,
  at: Place,
): unknown {
  if (!isObject(value)) return wrong(value, schema, at);
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const read_ = read(schema.value, item, at) ?? zero(schema.value);
    Object.defineProperty(out, key, {
      value: read_,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return out;
}

function readObject(
  schema: Extract<Schema<unknown>, { kind: "object" }>,
  value: unknown,
  at: Place,
): unknown {
  if (!isObject(value)) return wrong(value, schema, at);
  const out: Record<string, unknown> = {};
  const byLowerCase = lowerCaseFields(schema);
  for (const [key, item] of Object.entries(value)) {
    const field = Object.hasOwn(schema.fields, key) ? key : byLowerCase.get(key.toLowerCase());
    if (field === undefined) continue;
    const place = {
      struct: at.struct || schema.name,
      path: at.path === "" ? field : `${at.path}.${field}`,
    };
    const decoded = read(schema.fields[field]!, item, place);
    if (decoded !== undefined) out[field] = decoded;
  }
  return out;
}

const lowerCaseCache = new WeakMap<object, Map<string, string>>();

function lowerCaseFields(schema: { fields: Record<string, unknown> }): Map<string, string> {
  let known = lowerCaseCache.get(schema);
  if (known === undefined) {
    known = new Map(Object.keys(schema.fields).map((field) => [field.toLowerCase(), field]));
    lowerCaseCache.set(schema, known);
  }
  return known;
}

function zero(schema: Schema<unknown>): unknown {
  if (schema.kind === "string") return "";
  if (schema.kind === "bool") return false;
  if (schema.kind === "integer" || schema.kind === "float") return 0;
  return schema.kind === "emptyObject" ? {} : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(value: unknown, schema: Schema<unknown>, at: Place): never {
  const what = Array.isArray(value)
    ? "array"
    : typeof value === "boolean"
      ? "bool"
      : typeof value === "number" && schema.kind === "integer"
        ? `number ${value}`
        : typeof value;
  const field = at.path === "" ? "value" : `struct field ${at.struct}.${at.path}`;
  throw new GantryError(
    "invalid",
    `invalid JSON: json: cannot unmarshal ${what} into Go ${field} of type ${goTypeOf(schema)}`,
  );
}

function goTypeOf(schema: Schema<unknown>): string {
  switch (schema.kind) {
    case "string":
      return "string";
    case "bool":
      return "bool";
    case "float":
      return "float64";
    case "integer":
      return schema.goType;
    case "list":
      return `[${schema.length ?? ""}]${goTypeOf(schema.item)}`;
    case "stringOrList":
      return "[]string";
    case "map":
      return `map[string]${goTypeOf(schema.value)}`;
    case "object":
      return schema.name;
    default:
      return "struct {}";
  }
}
