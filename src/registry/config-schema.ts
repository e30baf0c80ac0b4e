// Reading a YAML document by a description of what it may say. Every complaint names file, line and
// column and what would be right; all of them come at once. Unknown keys, duplicate keys, anchors
// that expand without end and values of another type are refused, never ignored.

import { dirname, resolve } from "node:path";
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { GantryError, messageOf, parseDuration, parseRamBytes } from "../base/index.ts";

/** What a node means, or undefined after a complaint. */
export type Reader<T> = (node: Node | null, at: Place) => T | undefined;

export interface Place {
  /** "access.policies[2].actions" */
  path: string;
  folder: string;
  /** What an alias stands for; any other node as it is. */
  follow(node: unknown): Node | null;
  complain(node: Node | null, message: string): undefined;
}

const complaintsMax = 20;
const aliasesMax = 100;

/** Throws GantryError invalid with a line for each thing that is wrong. */
export function readYaml<T>(file: string, text: string, reader: Reader<T>): T {
  const lines = new LineCounter();
  const complaints: string[] = [];
  const where = (offset: number | undefined): string => {
    if (offset === undefined) return file;
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, strict: true });
  for (const { pos, message } of [...document.errors, ...document.warnings]) {
    complaints.push(`${where(pos[0])}: ${message.split("\n")[0]!.replace(/ at line .*$/, "")}`);
  }
  let value: T | undefined;
  if (complaints.length === 0) {
    try {
      document.toJS({ maxAliasCount: aliasesMax }); // counts what aliases would expand to
    } catch (error) {
      complaints.push(`${file}: ${messageOf(error)}`);
    }
  }
  if (complaints.length === 0) {
    value = reader(document.contents as Node | null, {
      path: "",
      folder: dirname(resolve(file)),
      follow: (node) => (isAlias(node) ? (node.resolve(document) ?? null) : (node as Node | null)),
      complain: (node, message) => {
        complaints.push(`${where(node?.range?.[0])}: ${message}`);
        return undefined;
      },
    });
  }
  if (complaints.length === 0) return value as T;
  const more = complaints.length - complaintsMax;
  const shown = complaints.slice(0, complaintsMax).join("\n");
  throw new GantryError("invalid", more > 0 ? `${shown}\n… and ${more} more` : shown);
}

function named(at: Place): string {
  return at.path === "" ? "the file" : at.path;
}

function scalar<T>(what: string, convert: (value: unknown) => T | undefined): Reader<T> {
  return (node, at) => {
    const value = isScalar(node) ? node.value : undefined;
    let converted: T | undefined;
    try {
      converted = value === null || value === undefined ? undefined : convert(value);
    } catch {
      // Said below.
    }
    return converted ?? at.complain(node, `${named(at)} must be ${what}`);
  };
}

export const text: Reader<string> = scalar("a text", (value) =>
  typeof value === "string" && value !== "" ? value : undefined,
);

/** Plain `123` and `true` are taken too: user names are written so. */
export const word: Reader<string> = scalar("a text", (value) => String(value) || undefined);

export const flag: Reader<boolean> = scalar("true or false", (value) =>
  typeof value === "boolean" ? value : undefined,
);

export function whole(min: number, max = Number.MAX_SAFE_INTEGER): Reader<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
  return scalar(`a whole number, ${range}`, (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? (value as number)
      : undefined,
  );
}

export const positive: Reader<number> = scalar("a number above 0", (value) =>
  typeof value === "number" && value > 0 && Number.isFinite(value) ? value : undefined,
);

/** A number of bytes, or a text such as "64MiB". */
export function bytes(min = 0): Reader<number> {
  return scalar(`a size of ${min} bytes or more, such as 67108864 or "64MiB"`, (value) => {
    const size = typeof value === "string" ? parseRamBytes(value) : value;
    return Number.isInteger(size) && (size as number) >= min ? (size as number) : undefined;
  });
}

const NANOSECONDS = { milliseconds: 1e6, seconds: 1e9, days: 86_400e9 } as const;

/** A number of the unit, or a text such as "90s", "12h" or "30d". */
export function duration(unit: keyof typeof NANOSECONDS, min = 0): Reader<number> {
  return scalar(`a number of ${unit}, ${min} or more, or a time such as "90s"`, (value) => {
    if (typeof value === "number") return value >= min ? value : undefined;
    const days = /^(\d+)d$/.exec(String(value))?.[1];
    const nanoseconds =
      days === undefined ? parseDuration(String(value)) : Number(days) * NANOSECONDS.days;
    const amount = nanoseconds / NANOSECONDS[unit];
    return amount >= min ? amount : undefined;
  });
}

/** A file, relative to the configuration's own folder. */
export const path: Reader<string> = (node, at) => {
  const written = text(node, at);
  return written === undefined ? undefined : resolve(at.folder, written);
};

export const webAddress: Reader<string> = scalar("an http or https address", (value) =>
  /^https?:$/.test(URL.parse(String(value))?.protocol ?? "") ? String(value) : undefined,
);

export function oneOf<const T extends string>(...choices: T[]): Reader<T> {
  const written = choices.map((choice) => JSON.stringify(choice)).join(" or ");
  return scalar(written, (value) => choices.find((choice) => choice === value));
}

/** A value that stands for itself (`false`), or what another reader makes of it. */
export function orFalse<T>(reader: Reader<T>): Reader<T | false> {
  return (node, at) =>
    isScalar(node) && node.value === false ? (false as const) : reader(node, at);
}

export function listOf<T>(reader: Reader<T>): Reader<T[]> {
  return (node, at) => {
    if (!isSeq(node)) return at.complain(node, `${named(at)} must be a list`);
    const items = node.items.map((item, index) =>
      reader(at.follow(item), { ...at, path: `${at.path}[${index}]` }),
    );
    return items.filter((item) => item !== undefined);
  };
}

/** One, or a list of them. */
export function oneOrMore<T>(reader: Reader<T>): Reader<T[]> {
  return (node, at) => {
    if (isSeq(node)) return listOf(reader)(node, at);
    const one = reader(node, at);
    return one === undefined ? undefined : [one];
  };
}

function below(at: Place, key: string): Place {
  return { ...at, path: at.path === "" ? key : `${at.path}.${key}` };
}

/** Any keys, values of one kind. */
export function mapOf<T>(reader: Reader<T>): Reader<Record<string, T>> {
  return (node, at) => {
    if (!isMap(node)) return at.complain(node, `${named(at)} must be a mapping`);
    const entries: [string, T][] = [];
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      const read = reader(at.follow(value) ?? (key as Node), below(at, name));
      if (read !== undefined) entries.push([name, read]);
    }
    return Object.fromEntries(entries);
  };
}

/** A reader for each key. */
export type Fields<T> = { [K in keyof T]-?: Reader<Exclude<T[K], undefined>> };

/** A mapping with these keys only. */
export function object<T extends object>(
  fields: Fields<T>,
  required: readonly (keyof T & string)[] = [],
): Reader<T> {
  return (node, at) => {
    if (!isMap(node)) return at.complain(node, `${named(at)} must be a mapping`);
    const out: Record<string, unknown> = {};
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      if (!Object.hasOwn(fields, name)) {
        at.complain(key as Node, unknownKey(name, Object.keys(fields), named(at)));
        continue;
      }
      const reader = fields[name as keyof T];
      const target = at.follow(value);
      out[name] = reader(target?.range ? target : (key as Node), below(at, name));
    }
    for (const name of required) {
      if (!(name in out)) at.complain(node, `${below(at, name).path} is missing`);
    }
    return out as T;
  };
}

function unknownKey(name: string, known: readonly string[], place: string): string {
  const near = known
    .map((key) => ({ key, edits: editDistance(name.toLowerCase(), key.toLowerCase()) }))
    .filter(({ key, edits }) => edits <= Math.max(1, key.length / 3))
    .sort((a, b) => a.edits - b.edits)[0];
  const hint = near
    ? `: did you mean ${JSON.stringify(near.key)}?`
    : `; known: ${known.join(", ")}`;
  return `unknown key ${JSON.stringify(name)} in ${place}${hint}`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
