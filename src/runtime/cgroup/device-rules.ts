// Device access: the rules of a spec, and those that every container has (runtime-spec "Default
// Devices"), reduced to one default and its exceptions – the model that the v1 controller has, and
// from which the v2 program is compiled, so that both decide alike.

import { GantryError } from "../../base/index.ts";
import type { OciDeviceRule } from "../../spec/index.ts";

export const ACCESS = { m: 1, r: 2, w: 4 } as const;
const ALL = 7;

export interface DeviceException {
  type: "b" | "c";
  major: number; // -1: any
  minor: number;
  access: number; // bits of ACCESS
}
export interface DevicePolicy {
  allowByDefault: boolean;
  exceptions: readonly DeviceException[];
}

const node = (major: number, minor: number): OciDeviceRule => ({
  allow: true,
  type: "c",
  major,
  minor,
  access: "rwm",
});

/** mknod of anything (the use stays denied), the six standard nodes, ptmx and ptys. */
const ALWAYS: readonly OciDeviceRule[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  node(1, 3), // null
  node(1, 5), // zero
  node(1, 7), // full
  node(1, 8), // random
  node(1, 9), // urandom
  node(5, 0), // tty
  node(5, 2), // ptmx
  node(136, -1), // the slaves of ptys
];

/** Applies the rules in order to "deny everything"; a rule for all types resets what came before
 * it. `always` adds what a container cannot do without. */
export function devicePolicy(rules: readonly OciDeviceRule[] = [], always = true): DevicePolicy {
  let allowByDefault = false;
  const exceptions = new Map<string, DeviceException>();
  const overlaps = (key: string, access: number) =>
    ((exceptions.get(key)?.access ?? 0) & access) !== 0;
  for (const rule of [...rules, ...(always ? ALWAYS : [])]) {
    const type = rule.type ?? "a";
    const access = accessBits(rule.access);
    if (type === "a" || type === "") {
      if (access !== ALL || (rule.major ?? -1) !== -1 || (rule.minor ?? -1) !== -1) {
        throw invalid(rule, "a rule for all devices takes neither numbers nor partial access");
      }
      allowByDefault = rule.allow;
      exceptions.clear();
      continue;
    }
    if (type !== "b" && type !== "c" && type !== "u") throw invalid(rule, `type ${type}`);
    const kind = type === "b" ? "b" : "c";
    const major = rule.major ?? -1;
    const minor = rule.minor ?? -1;
    const key = `${kind} ${major}:${minor}`;
    const before = exceptions.get(key)?.access ?? 0;
    const revokes = rule.allow === allowByDefault;
    const wider = revokes && widerThan(kind, major, minor).find((k) => overlaps(k, access));
    if (wider) throw invalid(rule, `it takes a part of what the rule for ${wider} says`);
    const after = revokes ? before & ~access : before | access;
    if (after === 0) exceptions.delete(key);
    else exceptions.set(key, { type: kind, major, minor, access: after });
  }
  return { allowByDefault, exceptions: [...exceptions.values()] };
}

/** Rules with wildcards that hold this one's devices: v1 cannot take a part out of them, and would
 * say nothing; runc refuses it too. */
function widerThan(kind: "b" | "c", major: number, minor: number): string[] {
  const any = -1;
  const wider = [
    [any, minor],
    [major, any],
    [any, any],
  ].filter(([a, b]) => a !== major || b !== minor);
  return wider.map(([a, b]) => `${kind} ${a}:${b}`);
}

function accessBits(access: string | undefined): number {
  if (access === undefined || access === "") return ALL;
  let bits = 0;
  for (const letter of access) {
    const bit = ACCESS[letter as keyof typeof ACCESS];
    if (bit === undefined) {
      throw new GantryError("invalid", `invalid device access ${JSON.stringify(access)}`);
    }
    bits |= bit;
  }
  return bits;
}

function invalid(rule: OciDeviceRule, why: string): GantryError {
  return new GantryError("invalid", `invalid device rule ${JSON.stringify(rule)}: ${why}`);
}

/** Lines for v1's devices.deny and devices.allow, in order. */
export function devicesV1(policy: DevicePolicy): { file: string; value: string }[] {
  const wildcard = (number: number) => (number < 0 ? "*" : String(number));
  const letters = (bits: number) =>
    (["r", "w", "m"] as const).filter((letter) => bits & ACCESS[letter]).join("");
  const [reset, change] = policy.allowByDefault
    ? (["devices.allow", "devices.deny"] as const)
    : (["devices.deny", "devices.allow"] as const);
  return [
    { file: reset, value: "a" },
    ...policy.exceptions.map(({ type, major, minor, access }) => ({
      file: change,
      value: `${type} ${wildcard(major)}:${wildcard(minor)} ${letters(access)}`,
    })),
  ];
}
