// --set: `targetpattern.key[.subkey]=value`, and `+=` to add to what is there.

import { GantryError } from "../../../../base/index.ts";
import { compilePattern } from "../../../../build/index.ts";
import { invalid } from "../request/specs.ts";
import { type BakeTarget, mergeTargets, readTarget } from "./target.ts";

interface Override {
  pattern: string;
  key: string;
  subkey: string | undefined;
  value: string | undefined;
  adds: boolean;
}

const MAPS = ["args", "labels", "contexts", "extra-hosts"];
/** The words of --set where they are others than the file's. */
const NAMES: Record<string, string> = {
  platform: "platforms",
  secrets: "secret",
  outputs: "output",
};
const LISTS = [
  ...["tags", "platforms", "output", "cache-from", "cache-to", "secret", "ssh", "attest"],
  ...["annotations", "no-cache-filter", "ulimits", "entitlements", "inherits"],
];

/** Lays the overrides over the targets that they name. `switches` gets push and load. */
export function applyOverrides(
  targets: ReadonlyMap<string, BakeTarget>,
  given: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): { targets: Map<string, BakeTarget>; switches: Map<string, { push?: boolean; load?: boolean }> } {
  const overrides = given.map(parseOverride);
  for (const { pattern } of overrides) {
    if (![...targets.keys()].some((name) => compilePattern(pattern, false).matches(name))) {
      throw new GantryError("not-found", `could not find any target matching '${pattern}'`);
    }
  }
  const out = new Map<string, BakeTarget>();
  const switches = new Map<string, { push?: boolean; load?: boolean }>();
  for (const [name, target] of targets) {
    const own = overrides.filter(({ pattern }) => compilePattern(pattern, false).matches(name));
    out.set(
      name,
      own.reduce((sum, one) => overridden(sum, one, own, environment), target),
    );
    const flags = Object.fromEntries(
      own
        .filter(({ key }) => key === "push" || key === "load")
        .map(({ key, value }) => [key, value === "true"]),
    );
    if (Object.keys(flags).length > 0) switches.set(name, flags);
  }
  return { targets: out, switches };
}

function parseOverride(text: string): Override {
  const equals = text.indexOf("=");
  const adds = equals > 0 && text[equals - 1] === "+";
  const path = equals < 0 ? text : text.slice(0, adds ? equals - 1 : equals);
  const [pattern = "", key = "", ...rest] = path.split(".");
  const subkey = rest.length === 0 ? undefined : rest.join(".");
  if (pattern === "" || key === "") {
    throw invalid(`invalid override key ${path}, expected target.name`);
  }
  const value = equals < 0 ? undefined : text.slice(equals + 1);
  return { pattern, key: NAMES[key] ?? key, subkey, value, adds };
}

function overridden(
  target: BakeTarget,
  one: Override,
  own: readonly Override[],
  environment: Readonly<Record<string, string | undefined>>,
): BakeTarget {
  const { key, subkey, adds } = one;
  if (MAPS.includes(key)) {
    if (subkey === undefined) throw invalid(`invalid key ${key}: ${key} requires name`);
    const value = one.value ?? environment[subkey];
    return value === undefined ? target : mergeTargets(target, { [key]: { [subkey]: value } });
  }
  if (one.value === undefined) throw invalid(`invalid override ${key}: a value is missing`);
  if (key === "push" || key === "load") return target;
  if (!LISTS.includes(key)) {
    return mergeTargets(target, readTarget({ [key]: one.value }, "--set"));
  }
  // The first of several replaces what is there, the others are added.
  const isFirst = own.find((other) => other.key === key) === one;
  const before = isFirst && !adds ? [] : ((target[key as "tags"] as string[] | undefined) ?? []);
  return { ...target, [key]: one.value === "" ? before : [...before, one.value] };
}
