// One target of a bake file, whichever form the file had, and how targets are laid over each other.
// Lists hold texts as the flags of `build` take them.

import { GantryError } from "../../../../base/index.ts";
import { invalid } from "../request/specs.ts";

export interface BakeTarget {
  inherits?: string[];
  context?: string;
  dockerfile?: string;
  "dockerfile-inline"?: string;
  target?: string;
  network?: string;
  "shm-size"?: string;
  call?: string;
  description?: string;
  pull?: boolean;
  "no-cache"?: boolean;
  args?: Record<string, string | null>;
  labels?: Record<string, string | null>;
  contexts?: Record<string, string>;
  "extra-hosts"?: Record<string, string>;
  tags?: string[];
  platforms?: string[];
  output?: string[];
  "cache-from"?: string[];
  "cache-to"?: string[];
  secret?: string[];
  ssh?: string[];
  attest?: string[];
  annotations?: string[];
  "no-cache-filter"?: string[];
  ulimits?: string[];
  entitlements?: string[];
}
export type Key = keyof BakeTarget;

const TEXTS: readonly Key[] = [
  "context",
  "dockerfile",
  "dockerfile-inline",
  "target",
  "network",
  "shm-size",
  "call",
  "description",
];
const BOOLEANS: readonly Key[] = ["pull", "no-cache"];
const MAPS: readonly Key[] = ["args", "labels", "contexts", "extra-hosts"];
/** A later list stands for an earlier one. */
const LISTS: readonly Key[] = ["inherits", "tags", "platforms", "output", "no-cache-filter"];
/** A later list is added to an earlier one. */
const GROWING: readonly Key[] = [
  "cache-from",
  "cache-to",
  "secret",
  "ssh",
  "attest",
  "annotations",
  "ulimits",
  "entitlements",
];
const ALL_LISTS = [...LISTS, ...GROWING];
const RECORDS: Partial<Record<Key, (record: Record<string, string>) => string>> = {
  "cache-from": fields,
  "cache-to": fields,
  output: fields,
  secret: fields,
  attest: fields,
  ssh: ({ id = "default", paths }) => (paths ? `${id}=${paths}` : id),
};

/** Reads the fields of a target; `where` names it in complaints. */
export function readTarget(value: unknown, where: string): BakeTarget {
  if (!isObject(value)) throw invalid(`${where} must be an object`);
  const target: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) {
    if (field === null || field === undefined) continue;
    target[key] = readField(key as Key, field, `${where}: ${key}`);
  }
  return target as BakeTarget;
}

function readField(key: Key, field: unknown, where: string): unknown {
  if (TEXTS.includes(key)) return textOf(field, where);
  if (BOOLEANS.includes(key)) {
    if (typeof field === "boolean") return field;
    if (field === "true" || field === "false") return field === "true";
    throw invalid(`${where} must be true or false`);
  }
  if (MAPS.includes(key)) {
    if (!isObject(field)) throw invalid(`${where} must be an object`);
    const out: Record<string, string | null> = {};
    for (const [name, one] of Object.entries(field)) {
      out[name] = one === null ? null : textOf(one, `${where}.${name}`);
    }
    return out;
  }
  if (ALL_LISTS.includes(key)) {
    const list = Array.isArray(field) ? field : [field];
    return list.map((one) => itemOf(key, one, where)).filter((text) => text !== "");
  }
  if ((key as string) === "policy") {
    throw new GantryError("not-implemented", `${where} is not supported: Gantry has no policies`);
  }
  throw invalid(`${where} is not a field of a target`);
}

function itemOf(key: Key, item: unknown, where: string): string {
  if (isObject(item) && RECORDS[key]) {
    const entries = Object.entries(item).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(",") : textOf(value, where),
    ]);
    return RECORDS[key](Object.fromEntries(entries) as Record<string, string>);
  }
  return textOf(item, where);
}

/** An object as the flag would have it: "type=local,dest=out". */
function fields(record: Record<string, string>): string {
  const pairs = Object.entries(record).map(([name, value]) => `${name}=${value}`);
  const quote = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return pairs.map(quote).join(",");
}

function textOf(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw invalid(`${where} must be a string`);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `upper` laid over `lower`. */
export function mergeTargets(lower: BakeTarget, upper: BakeTarget): BakeTarget {
  const merged: Record<string, unknown> = { ...lower };
  for (const [key, value] of Object.entries(upper) as [Key, unknown][]) {
    const below = merged[key];
    if (MAPS.includes(key)) merged[key] = { ...(below as object), ...(value as object) };
    else if (GROWING.includes(key)) {
      merged[key] = [...new Set([...((below as string[]) ?? []), ...(value as string[])])];
    } else merged[key] = value;
  }
  // A Dockerfile within the file and one beside it exclude each other: the upper one counts.
  if (upper["dockerfile-inline"] !== undefined && upper.dockerfile === undefined) {
    delete merged["dockerfile"];
  } else if (upper.dockerfile !== undefined && upper["dockerfile-inline"] === undefined) {
    delete merged["dockerfile-inline"];
  }
  return merged as BakeTarget;
}

export interface BakeConfig {
  groups: Map<string, string[]>;
  targets: Map<string, BakeTarget>;
  variables: Map<string, { value: string; description: string }>;
}

export function emptyConfig(): BakeConfig {
  return { groups: new Map(), targets: new Map(), variables: new Map() };
}

/** A later file over earlier ones; groups are joined. */
export function addConfig(all: BakeConfig, more: BakeConfig): void {
  for (const [name, targets] of more.groups) {
    all.groups.set(name, [...new Set([...(all.groups.get(name) ?? []), ...targets])]);
  }
  for (const [name, target] of more.targets) {
    all.targets.set(name, mergeTargets(all.targets.get(name) ?? {}, target));
  }
  for (const [name, variable] of more.variables) all.variables.set(name, variable);
}
