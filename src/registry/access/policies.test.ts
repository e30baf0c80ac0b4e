import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Action } from "../contract.ts";
import { matchesGlob } from "./glob.ts";
import type { AccessOptions } from "./options.ts";
import { createPolicies } from "./policies.ts";

const text = fc.string({ unit: fc.constantFrom("a", "b", "/", "-"), maxLength: 8 });
const pattern = fc.string({ unit: fc.constantFrom("a", "b", "/", "-", "*", "?"), maxLength: 8 });

test("globs match what the equal regular expression matches", () => {
  fc.assert(
    fc.property(pattern, text, (glob, name) => {
      const source = glob.replace(/\*\*|\*|\?/g, (wild) =>
        wild === "**" ? ".*" : wild === "*" ? "[^/]*" : "[^/]",
      );
      assert.equal(matchesGlob(glob, name), new RegExp(`^${source}$`).test(name));
    }),
    { numRuns: 2000 },
  );
});

test("a glob full of wildcards is matched without exploding", () => {
  assert.equal(matchesGlob("*a".repeat(120), "a".repeat(255)), true);
  assert.equal(matchesGlob(`${"**a".repeat(80)}b`, "a".repeat(255)), false);
});

test("{user} is the caller's name literally, and nobody has none", () => {
  assert.ok(matchesGlob("home/{user}/**", "home/ann/x/y", "ann"));
  assert.ok(!matchesGlob("home/{user}/**", "home/bob/x", "ann"));
  assert.ok(!matchesGlob("home/{user}/**", "home/bob/x", "*"));
  assert.ok(!matchesGlob("home/{user}", "home/", ""));
  assert.ok(!matchesGlob("{user}**", "anything", ""));
});

const options: AccessOptions = {
  authentication: { type: "certificate" },
  groups: { developers: ["ann", "bob"] },
  policies: [
    { repositories: ["public/**"], anonymous: true, actions: ["pull"] },
    { repositories: ["team/*"], groups: ["developers"], actions: ["pull", "push"] },
    { repositories: ["home/{user}/**"], authenticated: true, actions: ["*"] },
    { users: ["root"], actions: ["*"] },
    { users: ["indexer"], repositories: ["nothing"], actions: ["pull"], catalog: true },
  ],
};

function may(user: string, name: string, ...actions: Action[]): Action[] {
  return createPolicies(options).permitted(user, { type: "repository", name, actions });
}

test("rules add up, and what no rule allows is denied", () => {
  assert.deepEqual(may("", "public/a", "pull", "push"), ["pull"]);
  assert.deepEqual(may("", "team/a", "pull"), []);
  assert.deepEqual(may("ann", "public/a", "pull"), ["pull"]);
  assert.deepEqual(may("ann", "team/a", "pull", "push", "delete"), ["pull", "push"]);
  assert.deepEqual(may("ann", "team/a/b", "pull"), []);
  assert.deepEqual(may("eve", "team/a", "pull"), []);
  assert.deepEqual(may("ann", "home/ann/x", "delete"), ["delete"]);
  assert.deepEqual(may("ann", "home/bob/x", "pull"), []);
  assert.deepEqual(may("root", "any/thing", "push", "delete"), ["push", "delete"]);
});

test("the catalog is for those who may do all, and for those a rule names", () => {
  const lists = (user: string) =>
    createPolicies(options).permitted(user, { type: "registry", name: "catalog", actions: ["*"] });
  assert.deepEqual(lists("root"), ["*"]);
  assert.deepEqual(lists("indexer"), ["*"]);
  assert.deepEqual(lists("ann"), []);
  assert.deepEqual(lists(""), []);
});

test("without rules a user may do everything, and nobody nothing", () => {
  const policies = createPolicies({ authentication: { type: "certificate" } });
  const wanted = { type: "repository", name: "a", actions: ["push"] } as const;
  assert.deepEqual(policies.permitted("ann", { ...wanted, actions: ["push"] }), ["push"]);
  assert.deepEqual(policies.permitted("", { ...wanted, actions: ["push"] }), []);
  assert.deepEqual(createPolicies({}).permitted("", { ...wanted, actions: ["push"] }), ["push"]);
});

test("rules that cannot mean anything are refused with their number", () => {
  const refused = (rule: object, message: RegExp) =>
    assert.throws(() => createPolicies({ policies: [rule as never] }), message);
  refused({ actions: ["pull"] }, /Policy 1: it names nobody/);
  refused({ anonymous: true, actions: [] }, /it allows nothing/);
  refused({ anonymous: true, actions: ["read"] }, /unknown action "read"/);
  refused({ groups: ["x"], actions: ["pull"] }, /there is no group "x"/);
  refused({ groups: ["constructor"], actions: ["pull"] }, /there is no group "constructor"/);
  refused({ anonymous: true, repositories: ["A B"], actions: ["pull"] }, /characters/);
});
