import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import { StoragePaths } from "./storage-paths.ts";
import { Trash } from "./trash.ts";

let root: string;
let paths: StoragePaths;
let plans: (readonly Operation[])[];
let turn: () => Promise<void>;

/** Deletes what a plan says when `turn` lets it. */
const native = {
  async run({ host }: { host: readonly Operation[] }, { signal }: { signal: AbortSignal }) {
    signal.throwIfAborted();
    plans.push(host);
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    await Promise.race([turn(), aborted.promise]);
    for (const { path } of host as readonly { path: string }[]) rmSync(path, { recursive: true });
  },
} as unknown as Native;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "trash-"));
  paths = new StoragePaths(root);
  for (const folder of ["trash", "a", "b", "c"]) mkdirSync(join(root, folder));
  plans = [];
  turn = async () => {};
});
afterEach(() => rmSync(root, { recursive: true }));

test("what is taken is out of sight at once, and what waits goes with one plan", async () => {
  const gate = Promise.withResolvers<void>();
  turn = () => gate.promise;
  const trash = new Trash(native, paths, silentLogger);
  await trash.take(join(root, "a"));
  while (plans.length === 0) await new Promise(setImmediate);
  await Promise.all([trash.take(join(root, "b")), trash.take(join(root, "c"))]);
  assert.deepEqual(readdirSync(root), ["trash"]);
  assert.equal(readdirSync(paths.trash).length, 3);
  gate.resolve();
  await trash.settled();
  assert.deepEqual(readdirSync(paths.trash), []);
  assert.deepEqual(
    plans.map(({ length }) => length),
    [1, 2],
  );
});

test("a tree that is not there is no error", async () => {
  const trash = new Trash(native, paths, silentLogger);
  await trash.take(join(root, "missing"));
  await trash.settled();
  assert.deepEqual(plans, []);
});

test("what could not be deleted goes at the next boot", async () => {
  turn = async () => {
    throw new Error("the disk is busy");
  };
  const trash = new Trash(native, paths, silentLogger);
  await trash.take(join(root, "a"));
  await trash.settled();
  assert.equal(readdirSync(paths.trash).length, 1);
  turn = async () => {};
  await new Trash(native, paths, silentLogger).empty();
  assert.deepEqual(readdirSync(paths.trash), []);
});

test("closing does not wait for the disk", async () => {
  turn = () => new Promise(() => {});
  const trash = new Trash(native, paths, silentLogger);
  await trash.take(join(root, "a"));
  await new Promise(setImmediate);
  await trash.close();
  assert.equal(readdirSync(paths.trash).length, 1);
});
