import assert from "node:assert/strict";
import { test } from "node:test";
import { scopeOf, sliceFolder } from "./unit-names.ts";

test("a container's scope lies in its slice", () => {
  assert.deepEqual(scopeOf("a-b.slice:gantry:0123"), {
    slice: "a-b.slice",
    unit: "gantry-0123.scope",
    path: "/a.slice/a-b.slice/gantry-0123.scope",
  });
  assert.equal(scopeOf(":gantry:x").path, "/system.slice/gantry-x.scope");
  assert.equal(scopeOf("-.slice::x").path, "/x.scope");
});

test("what is no place of systemd is refused with the form that is meant", () => {
  assert.throws(() => scopeOf("/gantry/x"), /format "slice:prefix:name"/);
  assert.throws(() => scopeOf("a.slice:gantry:../../x"), /invalid name of a systemd unit/);
  assert.throws(() => scopeOf("a.slice:gantry:"), /invalid name of a systemd unit/);
  assert.throws(() => scopeOf("a.slice:gantry:user.slice"), /is a scope, not user\.slice/);
  for (const slice of ["a", "a/b.slice", "-a.slice", "a--b.slice", ".slice"]) {
    assert.throws(() => sliceFolder(slice), /invalid slice name/, slice);
  }
});
