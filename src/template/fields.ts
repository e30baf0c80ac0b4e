// What a name means in a value, and which values a function takes: Go's rules, without the walk
// over the template. Errors have Go's sentences; the caller knows where they are, and calls what is
// a method.

import { quote } from "./unquote.ts";
import { isMap, TemplateObject, TypedNil, typeName } from "./values.ts";

export type Method = (...args: string[]) => unknown;
type Found = { value: unknown } | { of: TemplateObject; method: Method };

interface Asked {
  /** A plain .Name, not one behind a variable or parentheses. */
  isField: boolean;
  /** The value was held by a map, whose values are interfaces. */
  nested: boolean;
  /** How many arguments stand behind the name. */
  given: number;
  missingKey: "default" | "error";
  fail(message: string): Error;
}

export function findField(receiver: unknown, name: string, asked: Asked): Found {
  const { nested, given, missingKey, fail } = asked;
  const noEntry = (): Error => fail(`nil data; no entry for key ${quote(name)}`);
  if (receiver === undefined) {
    if (missingKey === "error") throw noEntry();
    return { value: undefined };
  }
  if (receiver === null) {
    if (nested || !asked.isField) throw fail(`nil pointer evaluating interface {}.${name}`);
    if (missingKey === "error") throw noEntry();
    return { value: undefined };
  }
  if (receiver instanceof TypedNil && receiver.kind === "pointer") {
    throw fail(`nil pointer evaluating ${receiver.goType}.${name}`);
  }
  if (receiver instanceof TemplateObject) return memberOf(receiver, name, asked);
  if (receiver instanceof TypedNil || isMap(receiver)) {
    if (given > 0) throw fail(`${name} is not a method but has arguments`);
    const value = receiver instanceof TypedNil ? undefined : lookUp(receiver, name);
    if (value !== undefined || missingKey === "default") return { value };
    throw fail(`map has no entry for key ${quote(name)}`);
  }
  throw fail(
    `can't evaluate field ${name} in type ${nested ? "interface {}" : typeName(receiver)}`,
  );
}

function memberOf(receiver: TemplateObject, name: string, { given, fail }: Asked): Found {
  if (!receiver.has(name)) throw fail(`can't evaluate field ${name} in type ${receiver.goType}`);
  const member = receiver.member(name);
  if (typeof member === "function") return { of: receiver, method: member as Method };
  if (given > 0 && receiver.methodsOnly) {
    throw fail(`wrong number of args for ${name}: want 0 got ${given}`);
  }
  if (given > 0) throw fail(`${name} has arguments but cannot be invoked as function`);
  return { value: member };
}

function lookUp(map: Record<string, unknown> | Map<unknown, unknown>, name: string): unknown {
  if (map instanceof Map) return map.has(name) ? map.get(name) : undefined;
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** What is wrong with an argument; undefined: nothing. */
export function checkArgument(value: unknown, parameter: string): string | undefined {
  if (parameter === "any") return undefined;
  const expected = parameter === "strings" ? "[]string" : parameter;
  if (value === null || value === undefined) return `invalid value; expected ${expected}`;
  if (parameter === "string" && typeof value === "string") return undefined;
  if (parameter === "int" && typeof value === "number" && Number.isInteger(value)) return undefined;
  if (parameter === "strings") {
    if (value instanceof TypedNil && value.kind === "slice") return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return undefined;
  }
  return `wrong type for value; expected ${expected}; got ${typeName(value)}`;
}
