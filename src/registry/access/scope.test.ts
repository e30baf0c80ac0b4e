import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Access, Action } from "../contract.ts";
import { challenge, covers, formatScopes, parseScopes } from "./scope.ts";

const component = fc.stringMatching(/^[a-z0-9]{1,5}(?:[._-][a-z0-9]{1,3})?$/);
const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const actions = fc.uniqueArray(fc.constantFrom<Action>("pull", "push", "delete", "*"), {
  minLength: 1,
});
const access: fc.Arbitrary<Access> = fc.record({ type: fc.constant("repository"), name, actions });

test("what is formatted as scopes is parsed again, whatever the order of the actions", () => {
  fc.assert(
    fc.property(fc.uniqueArray(access, { selector: (one) => one.name, maxLength: 8 }), (list) => {
      const sorted = (accesses: Access[]) =>
        accesses.map((one) => ({ ...one, actions: one.actions.toSorted() }));
      const parsed = parseScopes([formatScopes(list)]);
      assert.deepEqual(sorted(parsed), sorted(list));
      assert.deepEqual(parseScopes([formatScopes(parsed)]), parsed);
    }),
  );
});

test("no text makes the scope parser throw, or grant what has no proper name", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 80 })), (texts) => {
      for (const { type, name: parsed, actions: found } of parseScopes(texts)) {
        assert.ok(found.length > 0);
        assert.match(parsed, type === "registry" ? /^catalog$/ : /^[a-z0-9][a-z0-9._/-]*$/);
      }
    }),
  );
});

test("scopes that docker's clients send are understood", () => {
  assert.deepEqual(
    parseScopes([
      "repository:library/busybox:pull,push repository:other/thing:pull",
      "registry:catalog:*",
      "repository(plugin):vieux/sshfs:pull",
      "repository:library/busybox:delete",
    ]),
    [
      { type: "repository", name: "library/busybox", actions: ["pull", "push", "delete"] },
      { type: "repository", name: "other/thing", actions: ["pull"] },
      { type: "registry", name: "catalog", actions: ["*"] },
      { type: "repository", name: "vieux/sshfs", actions: ["pull"] },
    ],
  );
});

test("scopes with traversal, odd types or unknown actions ask for nothing", () => {
  const hostile = [
    "repository:../etc:pull",
    "repository:a//b:pull",
    "repository:A:pull",
    `repository:${"a".repeat(256)}:pull`,
    "repository:a:PULL",
    "repository:a:",
    "repository::pull",
    "registry:other:*",
    "user:me:*",
    "::",
    "repository",
  ];
  assert.deepEqual(parseScopes(hostile), []);
});

test("a scope of a very long name is parsed in time proportional to it", () => {
  const words = Array.from({ length: 50 }, () => `repository:${"a-".repeat(50_000)}!:pull`);
  assert.deepEqual(parseScopes(words), []);
});

test("a grant covers a request only when it holds every action of it", () => {
  const granted: Access[] = [
    { type: "repository", name: "a", actions: ["pull"] },
    { type: "repository", name: "a", actions: ["push"] },
    { type: "repository", name: "all", actions: ["*"] },
  ];
  const wants = (of: string, ...wanted: Action[]) =>
    covers(granted, { type: "repository", name: of, actions: wanted });
  assert.ok(wants("a", "pull", "push"));
  assert.ok(!wants("a", "pull", "delete"));
  assert.ok(wants("all", "delete"));
  assert.ok(!wants("b", "pull"));
  assert.ok(!covers(granted, { type: "registry", name: "a", actions: ["pull"] }));
});

test("a challenge cannot be broken out of by quotes or line ends", () => {
  assert.equal(
    challenge("Bearer", { realm: 'a"b\\c\r\nX: y', service: undefined, scope: "" }),
    'Bearer realm="a\\"b\\\\c??X: y"',
  );
});
