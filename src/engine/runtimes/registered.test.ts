import assert from "node:assert/strict";
import { test } from "node:test";
import { programOf } from "./registered.ts";

const SHIM = "io.containerd.runc.v2";

test("a path is a program with its arguments", () => {
  const given = { path: "/usr/bin/crun", runtimeArgs: ["--debug"] };
  assert.deepEqual(programOf("x", given), { path: "/usr/bin/crun", args: ["--debug"] });
});

test("runc's shim stands for what is built in, or for the program that its options name", () => {
  assert.equal(programOf("x", { runtimeType: SHIM }), undefined);
  assert.equal(programOf("x", { runtimeType: SHIM, options: { SystemdCgroup: false } }), undefined);
  const options = { BinaryName: "/opt/runc", Root: "/run/x", NoPivotRoot: true };
  for (const runtimeType of [SHIM, "/usr/bin/containerd-shim-runc-v2"]) {
    assert.deepEqual(programOf("x", { runtimeType, options }), {
      path: "/opt/runc",
      args: [],
      root: "/run/x",
      runArgs: ["--no-pivot"],
    });
  }
  assert.match(
    programOf("x", { runtimeType: SHIM, options: { BinaryName: "sh" } })?.path ?? "",
    /^\/.*\/sh$/,
  );
});

test("other shims, and what only a shim could do, are refused", () => {
  const given = (runtimeType: string, options?: object) => () =>
    programOf("x", {
      runtimeType,
      ...(options && { options: options as Record<string, unknown> }),
    });
  assert.throws(given("io.containerd.kata.v2"), /runtime x is a shim of containerd/);
  assert.throws(given(SHIM, { SystemdCgroup: true }), /option SystemdCgroup of its shim/);
  assert.throws(given(SHIM, { Root: "/run/x" }), /without BinaryName/);
  assert.throws(given(SHIM, { BinaryName: 7 }), /are texts/);
  assert.throws(given(SHIM, { BinaryName: "no-such-program" }), /executable file not found/);
});
