import assert from "node:assert/strict";
import { test } from "node:test";
import { mountOverlay } from "./overlay-mount.ts";

const off = ["redirect_dir=off", "metacopy=off"];

test("few layers are one option, many are one each", () => {
  const [few] = mountOverlay({ lowerDirs: ["/b", "/a"], upperDir: "/u", workDir: "/w" }, 3);
  const options = ["lowerdir=/b:/a", "upperdir=/u", "workdir=/w", ...off];
  assert.deepEqual(few, { op: "fsmount", fstype: "overlay", options, to: 3 });
  const lowerDirs = Array.from({ length: 100 }, (_, n) => `/layers/${n}`);
  const [many] = mountOverlay({ lowerDirs, volatile: true }, 0);
  assert(many?.op === "fsmount");
  assert.deepEqual(many.options.slice(0, 2), ["lowerdir+=/layers/0", "lowerdir+=/layers/1"]);
  assert.deepEqual(many.options.slice(100), ["volatile", ...off]);
});

test("one layer without an upper folder needs no overlay", () => {
  const [open] = mountOverlay({ lowerDirs: ["/a"] }, 0);
  assert.equal(open?.op, "open");
});

test("paths that overlay's options cannot hold go as descriptors", () => {
  const long = `/${"x".repeat(255)}`;
  const plan = mountOverlay({ lowerDirs: ["/with:colon", "/a"], upperDir: long, workDir: "/w" }, 0);
  assert.deepEqual(
    plan.map((operation) => operation.op),
    ["open", "open", "fsmount"],
  );
  const mount = plan[2];
  assert(mount?.op === "fsmount");
  const options = ["lowerdir+=@8", "lowerdir+=/a", "upperdir=@9", "workdir=/w", ...off];
  assert.deepEqual(mount.options, options);
});
