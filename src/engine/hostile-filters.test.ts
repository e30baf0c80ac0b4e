import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesLabel } from "./containers/filter.ts";
import { shellPattern } from "./images/list.ts";

test("a label filter does not find what every object inherits", () => {
  for (const name of ["constructor", "toString", "__proto__", "constructor=", "hasOwnProperty"]) {
    assert.equal(matchesLabel({ a: "1" }, name), false, name);
  }
  const labels = JSON.parse('{"__proto__": "x", "a": "1"}') as Record<string, string>;
  assert.ok(matchesLabel(labels, "__proto__=x"));
  assert.ok(matchesLabel(labels, "a") && matchesLabel(labels, "a=1"));
});

test("a pattern that is none is the caller's error, and stars in a row cost nothing", () => {
  assert.throws(() => shellPattern("[[["), { kind: "invalid" });
  assert.ok(shellPattern("al*:3.?").test("alpine:3.2"));
  assert.equal(shellPattern(`${"*".repeat(60)}!`).test("a".repeat(200)), false);
});
