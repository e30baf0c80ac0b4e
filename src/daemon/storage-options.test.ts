import assert from "node:assert/strict";
import { test } from "node:test";
import { storageSizeOption } from "./storage-options.ts";

test("the size of containers is one of the driver's options, the others are refused", () => {
  assert.equal(storageSizeOption([]), undefined);
  assert.equal(storageSizeOption(["overlay2.size=10G"]), 10 * 1024 ** 3);
  assert.equal(storageSizeOption(["overlay2.override_kernel_check=true"]), undefined);
  assert.throws(() => storageSizeOption(["dm.basesize=10G"]), /unknown option dm.basesize/);
  assert.throws(() => storageSizeOption(["size"]), /unable to parse storage-opt option: size/);
  assert.throws(() => storageSizeOption(["overlay2.size=much"]), /overlay2.size=much/);
});
