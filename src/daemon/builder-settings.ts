// daemon.json's key "builder": what the build cache may take, what builds may ask for. Read once
// and strictly: a rule that is misspelt would delete what it should keep.

import { GantryError, parseDuration, parseRamBytes } from "../base/index.ts";
import type { EngineOptions } from "../engine/index.ts";

type BuilderOptions = NonNullable<EngineOptions["builder"]>;
type GcRule = NonNullable<BuilderOptions["gc"]["policy"]>[number];
type Space = GcRule["reserved"];
type Fields = Record<string, unknown>;

const rulesMax = 100;
const NS_PER_MS = 1e6;
const NOTHING: Space = { bytes: 0 };
const FILTERS = [
  ...["id", "parent", "parents", "type", "description", "inuse", "shared", "private"],
  ...["mutable", "immutable", "until", "unused-for"],
];
/** What daemon.json names and what builds name. */
const ENTITLEMENTS: Record<string, string> = {
  "network-host": "network.host",
  "security-insecure": "security.insecure",
  device: "device",
};

/** Undefined: everything is as it is by default. Throws invalid, naming the key. */
export function parseBuilder(value: unknown): BuilderOptions | undefined {
  if (value === undefined || value === null) return undefined;
  const builder = fields(value, "builder");
  allow("builder", builder, ["gc", "entitlements", "history", "cacheMountMaxSize"]);
  if (builder["history"] !== undefined) {
    throw bad("builder.history", "it is not supported: `builder history rm` removes records");
  }
  const { entitlements, cacheMountMaxSize: size } = builder;
  return {
    gc: parseGc(fields(builder["gc"] ?? {}, "builder.gc")),
    ...(entitlements !== undefined && {
      entitlements: parseEntitlements(fields(entitlements, "builder.entitlements")),
    }),
    ...(size !== undefined && { cacheMountBytesMax: bytes(size, "builder.cacheMountMaxSize") }),
  };
}

function parseGc(gc: Fields): BuilderOptions["gc"] {
  const at = "builder.gc";
  const sizes = ["defaultReservedSpace", "defaultMaxUsedSpace", "defaultMinFreeSpace"];
  allow(at, gc, ["enabled", "policy", "defaultKeepStorage", ...sizes]);
  const reserved = either(gc, "defaultReservedSpace", "defaultKeepStorage", at);
  const { policy } = gc;
  if (policy !== undefined && !Array.isArray(policy)) throw bad(`${at}.policy`, "no list");
  if (Array.isArray(policy) && policy.length > rulesMax) {
    throw bad(`${at}.policy`, `there are more than ${rulesMax} rules`);
  }
  return {
    enabled: bool(gc, "enabled", true, at),
    reserved: space(reserved, `${at}.defaultReservedSpace`) ?? { share: 0.1 },
    maxUsed: space(gc["defaultMaxUsedSpace"], `${at}.defaultMaxUsedSpace`) ?? { share: 0.75 },
    minFree: space(gc["defaultMinFreeSpace"], `${at}.defaultMinFreeSpace`) ?? { share: 0.2 },
    ...(Array.isArray(policy) &&
      policy.length > 0 && {
        policy: policy.map((rule, index) => parseRule(rule, `${at}.policy[${index}]`)),
      }),
  };
}

function parseRule(value: unknown, at: string): GcRule {
  const rule = fields(value, at);
  const sizes = ["keepStorage", "reservedSpace", "maxUsedSpace", "minFreeSpace"];
  allow(at, rule, ["filter", "keepDuration", "all", ...sizes]);
  const reserved = either(rule, "reservedSpace", "keepStorage", at);
  return {
    filters: parseFilters(rule["filter"] ?? [], `${at}.filter`),
    keepMs: duration(rule["keepDuration"], `${at}.keepDuration`),
    all: bool(rule, "all", false, at),
    reserved: space(reserved, `${at}.reservedSpace`) ?? NOTHING,
    maxUsed: space(rule["maxUsedSpace"], `${at}.maxUsedSpace`) ?? NOTHING,
    minFree: space(rule["minFreeSpace"], `${at}.minFreeSpace`) ?? NOTHING,
  };
}

/** "type=source.local", also as BuildKit writes it: "type==source.local". */
function parseFilters(value: unknown, at: string): GcRule["filters"] {
  const texts = typeof value === "string" ? [value] : value;
  if (!Array.isArray(texts)) throw bad(at, "it must be a list of key=value");
  const filters = new Map<string, string[]>();
  for (const text of texts.flatMap((one) => (typeof one === "string" ? one.split(",") : [one]))) {
    const [, name = "", given = ""] =
      (typeof text === "string" && /^([a-z-]+)(?:==?(.*))?$/.exec(text)) || [];
    if (!FILTERS.includes(name)) throw bad(at, `${JSON.stringify(text)} is no filter`);
    filters.set(name, [...(filters.get(name) ?? []), given]);
  }
  return filters;
}

function parseEntitlements(given: Fields): string[] {
  const at = "builder.entitlements";
  allow(at, given, Object.keys(ENTITLEMENTS));
  return Object.entries(ENTITLEMENTS)
    .filter(([key]) => bool(given, key, key === "device", at))
    .map(([, name]) => name);
}

function either(given: Fields, key: string, alias: string, at: string): unknown {
  if (given[key] !== undefined && given[alias] !== undefined) {
    throw bad(at, `${alias} is another name of ${key}: one of them`);
  }
  return given[key] ?? given[alias];
}

/** "20GB", "10%", or a number of bytes. */
function space(value: unknown, at: string): Space | undefined {
  if (value === undefined || value === "") return undefined;
  const percent = typeof value === "string" ? /^(\d{1,3})%$/.exec(value)?.[1] : undefined;
  if (percent === undefined) return { bytes: bytes(value, at) };
  if (Number(percent) > 100) throw bad(at, `${percent}% is more than there is`);
  return { share: Number(percent) / 100 };
}

function bytes(value: unknown, at: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  if (typeof value !== "string") throw bad(at, "it must be a size");
  try {
    return parseRamBytes(value);
  } catch (cause) {
    throw bad(at, `${JSON.stringify(value)} is no size`, cause);
  }
}

function duration(value: unknown, at: string): number {
  if (value === undefined || value === "") return 0;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value * 1000;
  if (typeof value !== "string") throw bad(at, "it must be a duration");
  try {
    return parseDuration(value) / NS_PER_MS;
  } catch (cause) {
    throw bad(at, `${JSON.stringify(value)} is no duration`, cause);
  }
}

function fields(value: unknown, at: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw bad(at, "it must be an object");
}

function allow(at: string, given: Fields, known: readonly string[]): void {
  const unknown = Object.keys(given).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw bad(at, `unknown key ${unknown.join(", ")}`);
}

function bool(given: Fields, key: string, byDefault: boolean, at: string): boolean {
  const value = given[key] ?? byDefault;
  if (typeof value === "boolean") return value;
  throw bad(`${at}.${key}`, "it must be true or false");
}

function bad(at: string, why: string, cause?: unknown): GantryError {
  return new GantryError("invalid", `invalid ${at}: ${why}`, { cause });
}
