// How Go sees the values that a template works on, and how it prints them. Plain objects and Maps
// are maps (printed and ranged in key order), arrays are slices, TemplateObject stands for structs
// and for formatter rows with methods. undefined is "no value", null a nil interface.

/** A value with named members: a struct, or a row whose methods compute what is asked for. */
export abstract class TemplateObject {
  abstract readonly goType: string;
  /** Members are methods, as Go's error messages tell. */
  readonly methodsOnly: boolean = false;
  /** A field's value, or a function for a method; undefined when there is none. */
  abstract member(name: string): unknown;
  abstract has(name: string): boolean;
  /** What %v prints. */
  abstract show(): string;
  /** What json prints. */
  abstract toJSON(): unknown;
}

/** A typed nil: what omitted fields of Docker's structs hold. */
export class TypedNil {
  readonly kind: "map" | "slice" | "pointer";
  readonly goType: string;
  constructor(kind: "map" | "slice" | "pointer", goType: string) {
    this.kind = kind;
    this.goType = goType;
  }
  toJSON(): null {
    return null;
  }
}

/** A number that is a float in Go even when it is whole. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
  toJSON(): number {
    return this.value;
  }
}

/** Any error that an evaluation can meet; the executor adds where. */
export class EvaluationError extends Error {}

export function isMap(value: unknown): value is Record<string, unknown> | Map<unknown, unknown> {
  return (
    value instanceof Map ||
    (typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof TemplateObject) &&
      !(value instanceof TypedNil) &&
      !(value instanceof Float))
  );
}

/** Map entries in the order in which Go prints and ranges them. */
export function sortedEntries(value: object): [unknown, unknown][] {
  const entries: [unknown, unknown][] =
    value instanceof Map ? [...value.entries()] : Object.entries(value);
  return entries.sort(([a], [b]) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return compareBytes(String(a), String(b));
  });
}

/** Orders strings as Go does: by UTF-8 bytes, which is by code points. */
export function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The Go type's name, for error messages. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return "interface {}";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int64";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (value instanceof Float) return "float64";
  if (value instanceof TemplateObject || value instanceof TypedNil) return value.goType;
  if (Array.isArray(value)) {
    return value.length > 0 && value.every((item) => typeof item === "string")
      ? "[]string"
      : "[]interface {}";
  }
  return typeof value === "function" ? "func" : "map[string]interface {}";
}

/** A float as %v prints it: the shortest form, exponents as Go writes them. */
export function showFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 21) {
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return String(value).includes("e") ? value.toFixed(20).replace(/\.?0+$/, "") : String(value);
}

/** What %v and println print for a value inside of something else. */
export function showValue(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (typeof value === "number") {
    return Number.isInteger(value) && Math.abs(value) < 1e21 ? value.toFixed(0) : showFloat(value);
  }
  if (typeof value !== "object") return String(value);
  if (value instanceof Float) return showFloat(value.value);
  if (value instanceof TemplateObject) return value.show();
  if (value instanceof TypedNil) {
    return value.kind === "pointer" ? "<nil>" : value.kind === "map" ? "map[]" : "[]";
  }
  if (Array.isArray(value)) return `[${value.map(showValue).join(" ")}]`;
  const entries = sortedEntries(value).map(([key, item]) => `${showValue(key)}:${showValue(item)}`);
  return `map[${entries.join(" ")}]`;
}

/** What a template action prints. */
export function printValue(value: unknown): string {
  if (value === null || value === undefined) return "<no value>";
  return showValue(value);
}

/** Go's truth: empty values are false. */
export function isTrue(value: unknown): boolean {
  if (value === null || value === undefined || value instanceof TypedNil) return false;
  if (value instanceof TemplateObject) return true;
  if (value instanceof Float) return value.value !== 0;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return Boolean(value);
}

/** JSON as Go's encoder writes it; `escapeHtml` as json.Marshal does by default. */
export function goJson(value: unknown, { escapeHtml = false, indent = "" } = {}): string {
  const text = JSON.stringify(value === undefined ? null : value, bigIntAsNumber, indent) ?? "null";
  const safe = text.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
  if (!escapeHtml) return safe;
  return safe.replaceAll("&", "\\u0026").replaceAll("<", "\\u003c").replaceAll(">", "\\u003e");
}

function bigIntAsNumber(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") {
    return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
  }
  return value instanceof Map ? Object.fromEntries(value) : value;
}

/** JSON.parse that keeps integers beyond 2^53 (timeNano, inode numbers) exact, as bigint. */
export function parseJson(text: string): unknown {
  if (!/\d{16,}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    const unsafe = typeof value === "number" && !Number.isSafeInteger(value);
    return unsafe && source && /^-?\d+$/.test(source) ? BigInt(source) : value;
  }) as (key: string, value: unknown) => unknown);
}
