// daemon.json's own key "registries": rules for single registries, repositories and domains, read
// once and strictly, because a rule that is misspelt would send pulls to the wrong place.

import { GantryError } from "../base/index.ts";
import type { EngineOptions } from "../engine/index.ts";

type RegistryRule = NonNullable<EngineOptions["distribution"]["registries"]>[number];
type MirrorRule = RegistryRule["mirrors"][number];
type Fields = Record<string, unknown>;

const PREFIX = /^(?:\*\.)?[A-Za-z0-9[](?:[A-Za-z0-9.:[\]-]*[A-Za-z0-9\]])?(?:\/[a-z0-9._/-]+)?$/;
const rulesMax = 1_000;
const mirrorsMax = 32;

/** Throws invalid, naming the rule. */
export function parseRegistryRules(value: unknown): RegistryRule[] {
  const rules = Object.entries(fields(value ?? {}, "registries"));
  if (rules.length > rulesMax) throw bad("registries", `there are more than ${rulesMax} rules`);
  return rules.map(([prefix, rule]) => parseRule(prefix, fields(rule, where(prefix))));
}

const where = (prefix: string): string => `registries[${JSON.stringify(prefix)}]`;

function parseRule(prefix: string, rule: Fields): RegistryRule {
  const at = where(prefix);
  if (!PREFIX.test(prefix)) throw bad(at, "it is no registry, repository or domain");
  allow(at, rule, ["mirrors", "location", "insecure", "blocked"]);
  const { mirrors = [], location } = rule;
  if (!Array.isArray(mirrors)) throw bad(`${at}.mirrors`, "it must be a list");
  if (mirrors.length > mirrorsMax) throw bad(`${at}.mirrors`, `more than ${mirrorsMax} entries`);
  const isPlace = typeof location === "string" && PREFIX.test(location) && !/^\*/.test(location);
  if (location !== undefined && !isPlace) {
    throw bad(`${at}.location`, 'it must be "host[:port][/path]"');
  }
  return {
    prefix: prefix.startsWith("index.docker.io") ? prefix.slice("index.".length) : prefix,
    mirrors: mirrors.map((mirror, index) => parseMirror(`${at}.mirrors[${index}]`, mirror)),
    ...(isPlace ? { location } : {}),
    insecure: bool(at, rule, "insecure"),
    blocked: bool(at, rule, "blocked"),
  };
}

function parseMirror(at: string, value: unknown): MirrorRule {
  const mirror = fields(typeof value === "string" ? { url: value } : value, at);
  allow(at, mirror, [
    ...["url", "rewrite", "insecure", "namespace", "digests-only", "username", "password-file"],
  ]);
  const username = text(at, mirror, "username");
  const passwordFile = text(at, mirror, "password-file");
  if ((username === undefined) !== (passwordFile === undefined)) {
    throw bad(at, '"username" and "password-file" belong together');
  }
  return {
    url: mirrorUrl(at, mirror["url"]),
    rewrite: Object.entries(fields(mirror["rewrite"] ?? {}, `${at}.rewrite`)).map(
      ([pattern, replacement]) => parseRewrite(at, pattern, replacement),
    ),
    insecure: bool(at, mirror, "insecure"),
    namespace: bool(at, mirror, "namespace"),
    digestsOnly: bool(at, mirror, "digests-only"),
    ...(username && passwordFile ? { username, passwordFile } : {}),
  };
}

function mirrorUrl(at: string, value: unknown): string {
  const url = typeof value === "string" ? URL.parse(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw bad(`${at}.url`, "it must begin with http:// or https://");
  }
  if (url.username !== "" || url.password !== "") {
    throw bad(`${at}.url`, 'credentials belong into "username" and "password-file"');
  }
  if (url.search !== "" || url.hash !== "") throw bad(`${at}.url`, "it has a query or a fragment");
  return url.href;
}

function parseRewrite(
  at: string,
  pattern: string,
  replacement: unknown,
): MirrorRule["rewrite"][number] {
  if (typeof replacement !== "string") throw bad(`${at}.rewrite`, "its values must be strings");
  try {
    return { pattern: new RegExp(pattern), replacement };
  } catch (cause) {
    throw bad(`${at}.rewrite`, `${JSON.stringify(pattern)} is no regular expression`, cause);
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

function bool(at: string, given: Fields, key: string): boolean {
  const value = given[key] ?? false;
  if (typeof value === "boolean") return value;
  throw bad(`${at}.${key}`, "it must be true or false");
}

function text(at: string, given: Fields, key: string): string | undefined {
  const value = given[key];
  if (value === undefined || (typeof value === "string" && value !== "")) return value;
  throw bad(`${at}.${key}`, "it must be a string");
}

function bad(at: string, why: string, cause?: unknown): GantryError {
  return new GantryError("invalid", `invalid ${at}: ${why}`, { cause });
}
