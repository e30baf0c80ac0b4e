// Who may do what: rules that add up. What no rule allows is denied; there are no rules that take
// away, so their order means nothing.

import { GantryError } from "../../base/index.ts";
import type { Access, Action } from "../contract.ts";
import { matchesGlob } from "./glob.ts";
import type { AccessOptions, PolicyRule } from "./options.ts";

/** Answers that are remembered: the rules do not change, and a pull asks the same twenty times. */
const rememberedMax = 10_000;
const actionsAll: readonly Action[] = ["pull", "push", "delete", "*"];

export interface Policies {
  /** The actions of `wanted` that this user ("" is anonymous) may do; perhaps none. */
  permitted(user: string, wanted: Access): Action[];
}

/** Throws GantryError invalid on rules that cannot mean anything. */
export function createPolicies(options: AccessOptions): Policies {
  const rules = options.policies ?? [defaultRule(options)];
  for (const [index, rule] of rules.entries()) checkRule(rule, index, options.groups ?? {});
  const groups = new Map(
    Object.entries(options.groups ?? {}).map(([name, users]) => [name, new Set(users)]),
  );

  function concerns(rule: PolicyRule, user: string): boolean {
    if (rule.anonymous) return true; // who has logged in may do what anybody may
    if (user === "") return false;
    if (rule.authenticated || rule.users?.includes(user)) return true;
    return rule.groups?.some((group) => groups.get(group)?.has(user)) ?? false;
  }

  const remembered = new Map<string, ReadonlySet<Action>>();
  function allowedTo(user: string, wanted: Access): ReadonlySet<Action> {
    const key = `${wanted.type}\0${wanted.name}\0${user}`;
    let allowed = remembered.get(key);
    if (!allowed) {
      allowed = evaluate(user, wanted);
      if (remembered.size >= rememberedMax) remembered.clear();
      remembered.set(key, allowed);
    }
    return allowed;
  }

  function evaluate(user: string, wanted: Access): ReadonlySet<Action> {
    const allowed = new Set<Action>();
    for (const rule of rules) {
      if (!concerns(rule, user)) continue;
      if (wanted.type === "registry") {
        if (listsAll(rule)) for (const action of actionsAll) allowed.add(action);
      } else if (
        (rule.repositories ?? ["**"]).some((glob) => matchesGlob(glob, wanted.name, user))
      ) {
        for (const action of rule.actions.includes("*") ? actionsAll : rule.actions)
          allowed.add(action);
      }
    }
    return allowed;
  }

  return {
    permitted(user, wanted) {
      const allowed = allowedTo(user, wanted);
      return wanted.actions.filter((action) => allowed.has(action));
    },
  };
}

function listsAll(rule: PolicyRule): boolean {
  if (rule.catalog !== undefined) return rule.catalog;
  return rule.actions.includes("*") && (rule.repositories ?? ["**"]).includes("**");
}

function defaultRule(options: AccessOptions): PolicyRule {
  const everybody = options.authentication === undefined;
  return everybody ? { anonymous: true, actions: ["*"] } : { authenticated: true, actions: ["*"] };
}

function checkRule(
  rule: PolicyRule,
  index: number,
  groups: Readonly<Record<string, readonly string[]>>,
): void {
  const where = `Policy ${index + 1}`;
  const invalid = (what: string) => new GantryError("invalid", `${where}: ${what}`);
  if (!rule.anonymous && !rule.authenticated && !rule.users?.length && !rule.groups?.length) {
    throw invalid("it names nobody: users, groups, anonymous or authenticated");
  }
  if (rule.actions.length === 0 && !rule.catalog) throw invalid("it allows nothing");
  for (const action of rule.actions) {
    if (!actionsAll.includes(action)) throw invalid(`unknown action "${action}"`);
  }
  for (const group of rule.groups ?? []) {
    if (!Object.hasOwn(groups, group)) throw invalid(`there is no group "${group}"`);
  }
  for (const glob of rule.repositories ?? []) {
    if (glob === "") throw invalid("a repository glob is empty");
    if (glob.length > 256) throw invalid("a repository glob is longer than 256 characters");
    if (/[^a-z0-9._/*?{}-]/.test(glob.replaceAll("{user}", ""))) {
      throw invalid(`"${glob}" has characters that no repository has`);
    }
  }
}
