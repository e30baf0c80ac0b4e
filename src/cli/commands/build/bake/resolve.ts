// From the names on the command line to the targets that are built: groups opened, what is
// inherited laid beneath, linked targets added. Pure.

import { GantryError } from "../../../../base/index.ts";
import { nearest } from "../../../../build/index.ts";
import { type BakeConfig, type BakeTarget, mergeTargets } from "./target.ts";

export interface Resolved {
  /** Groups that were named, with the targets in them. */
  groups: Map<string, string[]>;
  /** Every target that takes part, by name. */
  targets: Map<string, BakeTarget>;
  /** Those that were asked for; the others are only linked. */
  wanted: Set<string>;
}

export function resolveTargets(config: BakeConfig, names: readonly string[]): Resolved {
  const resolved: Resolved = { groups: new Map(), targets: new Map(), wanted: new Set() };
  const asked = names.length > 0 ? names : ["default"];
  for (const name of asked) {
    const members = openGroup(config, name, []);
    if (config.groups.has(name)) resolved.groups.set(name, members);
    for (const target of members) resolved.wanted.add(target);
  }
  if (!resolved.groups.has("default")) resolved.groups.set("default", [...resolved.wanted]);
  for (const target of resolved.wanted) addTarget(config, resolved, target);
  return resolved;
}

function openGroup(config: BakeConfig, name: string, path: readonly string[]): string[] {
  if (path.includes(name)) {
    throw new GantryError("invalid", `infinite loop: group ${[...path, name].join(" → ")}`);
  }
  const group = config.groups.get(name);
  // A target may have its group's name: it is the target then.
  if (group === undefined || (config.targets.has(name) && path.length > 0)) {
    if (config.targets.has(name)) return [name];
    throw notFound(config, name);
  }
  const own = config.targets.has(name) && !group.includes(name) ? [name] : [];
  const members = group.flatMap((one) =>
    one === name ? [one] : openGroup(config, one, [...path, name]),
  );
  return [...new Set([...own, ...members])];
}

function notFound(config: BakeConfig, name: string): GantryError {
  const known = [...config.targets.keys(), ...config.groups.keys()];
  const near = nearest(name, known);
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  return new GantryError("not-found", `failed to find target ${name}${hint}`);
}

function addTarget(config: BakeConfig, resolved: Resolved, name: string): void {
  if (resolved.targets.has(name)) return;
  const { inherits: _, ...target } = withInherited(config, name, []);
  resolved.targets.set(name, target);
  for (const linked of linkedTargets(target)) {
    if (!config.targets.has(linked)) throw notFound(config, linked);
    addTarget(config, resolved, linked);
  }
}

function withInherited(config: BakeConfig, name: string, path: readonly string[]): BakeTarget {
  if (path.includes(name)) {
    throw new GantryError("invalid", `infinite loop: target ${[...path, name].join(" → ")}`);
  }
  const own = config.targets.get(name);
  if (own === undefined) throw notFound(config, name);
  let below: BakeTarget = {};
  for (const parent of own.inherits ?? []) {
    below = mergeTargets(below, withInherited(config, parent, [...path, name]));
  }
  return mergeTargets(below, own);
}

/** The targets whose results a target uses as contexts. */
export function linkedTargets({ contexts = {} }: BakeTarget): string[] {
  return Object.values(contexts)
    .filter((value) => value.startsWith("target:"))
    .map((value) => value.slice("target:".length));
}

/** The targets in an order in which each comes after those it uses. */
export function inOrder(targets: ReadonlyMap<string, BakeTarget>): string[] {
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      throw new GantryError("invalid", `infinite loop: target ${[...path, name].join(" → ")}`);
    }
    if (order.includes(name)) return;
    for (const linked of linkedTargets(targets.get(name)!)) visit(linked, [...path, name]);
    order.push(name);
  };
  for (const name of targets.keys()) visit(name, []);
  return order;
}
