import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciDeviceRule } from "../../spec/index.ts";
import { devicePolicy } from "./device-rules.ts";

const none: OciDeviceRule = { allow: false, access: "rwm" };
const memory = { type: "c", major: 1 };
const accessOf = (rules: OciDeviceRule[]) =>
  devicePolicy(rules, false).exceptions.map(({ major, minor, access }) => [major, minor, access]);

test("a later rule for the same devices takes away what an earlier one gave", () => {
  const given = { allow: true, ...memory, minor: 1, access: "rwm" };
  assert.deepEqual(accessOf([none, given, { ...given, allow: false, access: "w" }]), [[1, 1, 3]]);
  assert.deepEqual(accessOf([none, given, { ...given, allow: false }]), []);
});

test("a part of what a wildcard gave cannot be taken away, and is not forgotten in silence", () => {
  const all = { allow: true, ...memory, access: "rm" };
  const one = { allow: false, ...memory, minor: 1 };
  assert.throws(() => devicePolicy([none, all, { ...one, access: "rw" }]), /takes a part/);
  // What the wildcard does not give is not there to be taken.
  assert.deepEqual(accessOf([none, all, { ...one, access: "w" }]), [[1, -1, 3]]);
  // The same holds where all is allowed but some.
  const open = { allow: true, access: "rwm" };
  const holes = [open, { ...all, allow: false }, { ...one, allow: true, access: "r" }];
  assert.throws(() => devicePolicy(holes), /takes a part/);
});
