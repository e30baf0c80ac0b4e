import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelFeatures } from "./contract.ts";
import { planCredentials } from "./plan-credentials.ts";

const kernel = { lastCapability: 40, heldCapabilities: (1n << 41n) - 1n } as KernelFeatures;

test("an id of more than 32 bits, or one that would change nothing, is no user", () => {
  const plan = (user: { uid: number; gid: number; additionalGids?: number[] }) =>
    planCredentials({
      process: { user, args: ["/x"], cwd: "/", env: [] },
      kernel,
      userNamespace: false,
    });
  const largest = 2 ** 32 - 2;
  const operations = plan({ uid: largest, gid: largest, additionalGids: [largest] });
  assert.deepEqual(
    operations.find(({ op }) => op === "setuid"),
    { op: "setuid", uid: largest },
  );
  for (const id of [2 ** 32, 2 ** 32 - 1, -1, 2 ** 64, 0.5]) {
    assert.throws(() => plan({ uid: id, gid: 0 }), /process\.user\.uid .* is not between/);
    assert.throws(() => plan({ uid: 0, gid: id }), /process\.user\.gid .* is not between/);
    assert.throws(() => plan({ uid: 0, gid: 0, additionalGids: [1, id] }), /additionalGids/);
  }
});
