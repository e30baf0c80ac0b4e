// The functions a template may call: Go's builtin ones and those that docker adds (json, join,
// split, lower, upper, title, pad, truncate). A signature checks arguments with Go's sentences.

import { sprint, sprintf, sprintln } from "./printf.ts";
import {
  compareBytes,
  EvaluationError,
  Float,
  goJson,
  isMap,
  isTrue,
  showValue,
  TemplateObject,
  TypedNil,
  typeName,
} from "./values.ts";

type Parameter = "any" | "string" | "int" | "strings";
export interface TemplateFunction {
  parameters: Parameter[];
  /** The last parameter may be repeated. */
  variadic?: boolean;
  call: (...args: never[]) => unknown;
}

const escapeHtml = (text: string) =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("'", "&#39;")
    .replaceAll('"', "&#34;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll("\0", "\uFFFD");

const JS: Record<string, string> = {
  "\\": "\\\\",
  "'": "\\'",
  '"': '\\"',
  "<": "\\u003C",
  ">": "\\u003E",
  "&": "\\u0026",
  "=": "\\u003D",
};
const escapeJs = (text: string) =>
  text.replace(
    /[\\'"<>&=\x00-\x1f]/g,
    (c) => JS[c] ?? `\\u${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`,
  );

const escapeQuery = (text: string) =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");

/** Functions that print take their arguments as one %v-joined text. */
const asText = (args: unknown[]) =>
  args.length === 1 && typeof args[0] === "string" ? args[0] : sprint(args);

const anys: Parameter[] = ["any"];

export const FUNCTIONS: Record<string, TemplateFunction> = {
  // and, or are evaluated by the executor, which does not evaluate what it need not.
  and: { parameters: ["any", "any"], variadic: true, call: () => undefined },
  or: { parameters: ["any", "any"], variadic: true, call: () => undefined },
  not: { parameters: anys, call: (value: unknown) => !isTrue(value) },
  len: { parameters: anys, call: length },
  index: { parameters: ["any", "any"], variadic: true, call: index },
  slice: { parameters: ["any", "any"], variadic: true, call: slice },
  print: { parameters: anys, variadic: true, call: (...args: unknown[]) => sprint(args) },
  printf: {
    parameters: ["string", "any"],
    variadic: true,
    call: (format: string, ...args: unknown[]) => sprintf(format, args),
  },
  println: { parameters: anys, variadic: true, call: (...args: unknown[]) => sprintln(args) },
  html: {
    parameters: anys,
    variadic: true,
    call: (...args: unknown[]) => escapeHtml(asText(args)),
  },
  js: { parameters: anys, variadic: true, call: (...args: unknown[]) => escapeJs(asText(args)) },
  urlquery: {
    parameters: anys,
    variadic: true,
    call: (...args: unknown[]) => escapeQuery(asText(args)),
  },
  call: { parameters: ["any", "any"], variadic: true, call: callValue },
  eq: { parameters: ["any", "any"], variadic: true, call: equalToAny },
  ne: { parameters: ["any", "any"], call: (a: unknown, b: unknown) => !equal(a, b) },
  lt: { parameters: ["any", "any"], call: (a: unknown, b: unknown) => less(a, b) },
  le: { parameters: ["any", "any"], call: (a: unknown, b: unknown) => less(a, b) || equal(a, b) },
  gt: { parameters: ["any", "any"], call: (a: unknown, b: unknown) => !less(a, b) && !equal(a, b) },
  ge: { parameters: ["any", "any"], call: (a: unknown, b: unknown) => !less(a, b) },
  // docker's
  json: { parameters: anys, call: (value: unknown) => goJson(value) },
  split: { parameters: ["string", "string"], call: (text: string, by: string) => text.split(by) },
  join: {
    parameters: ["strings", "string"],
    call: (items: string[], by: string) => items.join(by),
  },
  lower: { parameters: ["string"], call: (text: string) => text.toLowerCase() },
  upper: { parameters: ["string"], call: (text: string) => text.toUpperCase() },
  title: {
    parameters: ["string"],
    call: (text: string) =>
      text.replace(/(^|[^\p{L}\p{Nd}_'])(\p{L})/gu, (_all, before: string, letter: string) => {
        return before + letter.toUpperCase();
      }),
  },
  pad: {
    parameters: ["string", "int", "int"],
    call: (text: string, before: number, after: number) =>
      text === "" ? "" : " ".repeat(Math.max(0, before)) + text + " ".repeat(Math.max(0, after)),
  },
  truncate: {
    parameters: ["string", "int"],
    call: (text: string, max: number) => {
      const bytes = Buffer.from(text);
      return bytes.length < max ? text : bytes.toString("utf8", 0, max);
    },
  },
};

/** In a table's header row these leave their text alone. */
export const HEADER_FUNCTIONS: Record<string, TemplateFunction> = {
  ...FUNCTIONS,
  json: { parameters: ["string"], call: (text: string) => text },
  title: { parameters: ["string"], call: (text: string) => text },
  lower: { parameters: ["string"], call: (text: string) => text },
  upper: { parameters: ["string"], call: (text: string) => text },
  truncate: { parameters: ["string", "int"], call: (text: string) => text },
};

function length(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof TypedNil && value.kind !== "pointer") return 0;
  if (value instanceof Map) return value.size;
  if (isMap(value)) return Object.keys(value).length;
  if (value === null || value === undefined) throw new EvaluationError("len of nil pointer");
  throw new EvaluationError(`len of type ${typeName(value)}`);
}

function asIndex(value: unknown, max: number): number {
  if (value instanceof Float || typeof value !== "number" || !Number.isInteger(value)) {
    if (value === null || value === undefined) {
      throw new EvaluationError("cannot index slice/array with nil");
    }
    throw new EvaluationError(`cannot index slice/array with type ${typeName(value)}`);
  }
  if (value < 0 || value > max) throw new EvaluationError(`index out of range: ${value}`);
  return value;
}

/** As Go: the position behind the last element passes the check, and then reflect complains. */
function asPosition(value: unknown, length: number, kind: "slice" | "string"): number {
  const at = asIndex(value, length);
  if (at === length) throw new EvaluationError(`reflect: ${kind} index out of range`);
  return at;
}

function index(item: unknown, ...indices: unknown[]): unknown {
  let value = item;
  if (value === null || value === undefined) throw new EvaluationError("index of untyped nil");
  for (const at of indices) {
    if (value === null || value === undefined) {
      throw new EvaluationError("index of nil pointer");
    }
    if (typeof value === "string") {
      value = Buffer.from(value)[asPosition(at, Buffer.byteLength(value), "string")];
    } else if (Array.isArray(value)) value = value[asPosition(at, value.length, "slice")];
    else if (value instanceof TypedNil && value.kind === "slice") asPosition(at, 0, "slice");
    else if (value instanceof TypedNil && value.kind === "map") value = undefined;
    else if (isMap(value)) {
      if (typeof at !== "string" && !(value instanceof Map)) {
        throw new EvaluationError(`value has type ${typeName(at)}; should be string`);
      }
      value =
        value instanceof Map
          ? value.get(at)
          : Object.hasOwn(value, at as string)
            ? value[at as string]
            : undefined;
    } else throw new EvaluationError(`can't index item of type ${typeName(value)}`);
  }
  return value;
}

function slice(item: unknown, ...bounds: unknown[]): unknown {
  if (item === null || item === undefined) throw new EvaluationError("slice of untyped nil");
  if (bounds.length > 3) throw new EvaluationError(`too many slice indexes: ${bounds.length}`);
  if (typeof item !== "string" && !Array.isArray(item)) {
    throw new EvaluationError(`can't slice item of type ${typeName(item)}`);
  }
  if (typeof item === "string" && bounds.length === 3) {
    throw new EvaluationError("cannot 3-index slice a string");
  }
  const whole = typeof item === "string" ? Buffer.from(item) : item;
  const numbers = bounds.map((bound) => asIndex(bound, whole.length));
  const from = numbers[0] ?? 0;
  const to = numbers[1] ?? whole.length;
  if (from > to) throw new EvaluationError(`invalid slice index: ${from} > ${to}`);
  return Buffer.isBuffer(whole) ? whole.toString("utf8", from, to) : whole.slice(from, to);
}

function callValue(callee: unknown, ...args: unknown[]): unknown {
  if (typeof callee !== "function") {
    throw new EvaluationError(`non-function ${showValue(callee)} of type ${typeName(callee)}`);
  }
  return callee(...args);
}

type Basic = "bool" | "int" | "float" | "string";
function basicKind(value: unknown): Basic | undefined {
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (value instanceof Float) return "float";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  return undefined;
}
const plain = (value: unknown) => (value instanceof Float ? value.value : value);

function equal(a: unknown, b: unknown): boolean {
  const isNil = (v: unknown) => v === null || v === undefined || v instanceof TypedNil;
  if (isNil(a) || isNil(b)) return isNil(a) && isNil(b);
  const [left, right] = [basicKind(a), basicKind(b)];
  if (left === undefined || right === undefined) {
    if (a instanceof TemplateObject && a === b) return true;
    throw new EvaluationError(`non-comparable type ${showValue(a)}: ${typeName(a)}`);
  }
  if (left !== right) throw new EvaluationError("incompatible types for comparison");
  // biome-ignore lint/suspicious/noDoubleEquals: a number and a bigint of the same value are equal
  return plain(a) == plain(b);
}

function equalToAny(first: unknown, ...others: unknown[]): boolean {
  if (others.length === 0) throw new EvaluationError("missing argument for comparison");
  return others.some((other) => equal(first, other));
}

function less(a: unknown, b: unknown): boolean {
  const [left, right] = [basicKind(a), basicKind(b)];
  if (left === undefined || right === undefined || left === "bool" || right === "bool") {
    throw new EvaluationError("invalid type for comparison");
  }
  if (left !== right) throw new EvaluationError("incompatible types for comparison");
  if (left === "string") return compareBytes(a as string, b as string) < 0;
  return (plain(a) as number) < (plain(b) as number);
}
