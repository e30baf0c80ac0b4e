import assert from "node:assert/strict";
import { test } from "node:test";
import { limitAsked } from "./size-limits.ts";

test("a size is in powers of 1024 and limits plain folders", () => {
  assert.equal(limitAsked(null), undefined);
  assert.equal(limitAsked({ size: "10G" }), 10 * 1024 ** 3);
  assert.equal(limitAsked({ size: "64MiB" }), 64 << 20);
  assert.throws(() => limitAsked({ size: "much" }), /invalid/);
  assert.throws(() => limitAsked({ size: "1M" }), /size must be at least 8MiB/);
});

test("of mounts only a tmpfs has a size", () => {
  assert.equal(limitAsked({ type: "tmpfs", device: "tmpfs", size: "1M" }), undefined);
  assert.throws(
    () => limitAsked({ type: "nfs", device: ":/x", size: "1G" }),
    /size limits nothing in a volume of type nfs/,
  );
});
