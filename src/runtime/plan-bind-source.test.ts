import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOperation, type Operation } from "../native/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { openBindSource } from "./plan-bind-source.ts";
import { PlanBuilder, SCRATCH } from "./plan-builder.ts";

const kernel = { arch: "x86_64", overlayLowerdirAppend: true } as KernelFeatures;
const at = { recursive: true, to: 20, kernel };
const words = (operations: Operation[]) => operations.map(({ op }) => op).join(" ");
const layers = {
  kind: "overlay",
  lowerDirs: ["/l/2", "/l/1"],
  upperDir: "/u",
  workDir: "/w",
} as const;

test("a path is cloned as it is", () => {
  assert.deepEqual(openBindSource(new PlanBuilder(), { source: "/srv" }, at), [
    { op: "openTree", path: "/srv", recursive: true, to: 20 },
  ]);
});

test("a subpath is resolved beneath its folder by the kernel, and never joined to its path", () => {
  const operations = openBindSource(new PlanBuilder(), { source: "/v", subpath: "a/../b" }, at);
  const [folder] = SCRATCH;
  assert.deepEqual(operations, [
    { op: "open", path: "/v", flags: 0o10000000, to: folder },
    { op: "openTree", root: folder, path: "a/../b", recursive: true, to: 20 },
    { op: "close", slot: folder },
  ]);
});

test("the layers of an image are a detached overlay; of a part, cloned in a namespace of its own", () => {
  const builder = new PlanBuilder();
  assert.equal(words(openBindSource(builder, { layers }, at)), "fsmount");
  const operations = openBindSource(builder, { layers, subpath: "models" }, at);
  assert.equal(
    words(operations),
    "fsmount open unshare propagation moveMount close open openTree close setns close",
  );
  assert.match(formatOperation(operations[0]!), /lowerdir\+=\/l\/2.*upperdir=\/u/);
  // Whatever was opened is closed, but for the result.
  const opened = operations.flatMap((o) => ("to" in o && o.to !== 20 ? [o.to] : []));
  const closed = operations.flatMap((o) => (o.op === "close" && o.slot !== 20 ? [o.slot] : []));
  assert.deepEqual(closed.sort(), opened.sort());
});

test("the shared memory of another container is cloned in its mount namespace", () => {
  const operations = openBindSource(new PlanBuilder(), { source: "/proc/7/root/dev/shm" }, at);
  assert.equal(words(operations), "open open setns openTree close setns close");
});

test("an old kernel is told layers in one text, and too many are refused", () => {
  const old = { ...kernel, overlayLowerdirAppend: false };
  const [mount] = openBindSource(new PlanBuilder(), { layers }, { ...at, kernel: old });
  assert.match(formatOperation(mount!), /lowerdir=\/l\/2:\/l\/1/);
  const lowerDirs = Array.from({ length: 60 }, (_, i) => `/layers/${i}/diff`);
  const many = { ...layers, lowerDirs };
  assert.throws(() => openBindSource(new PlanBuilder(), { layers: many }, { ...at, kernel: old }), {
    kind: "not-implemented",
    message: /60 layers needs overlay's lowerdir\+/,
  });
});
