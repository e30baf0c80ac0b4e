import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciDevice } from "../spec/index.ts";
import { nodeOf, planDeviceLinks } from "./plan-devices.ts";

test("a device's number is never cut to that of another", () => {
  const node = (more: Partial<OciDevice>) =>
    nodeOf({ path: "/dev/x", type: "c", major: 1, minor: 3, ...more });
  assert.deepEqual(node({ major: 0xfff, minor: 0xf_ffff, fileMode: 0o600 }), {
    mode: 0o020600,
    major: 0xfff,
    minor: 0xf_ffff,
  });
  for (const [major, minor] of [
    [2 ** 32 + 1, 3],
    [0x1000, 3],
    [1, 2 ** 32 + 1],
    [1, -1],
  ] as const) {
    assert.throws(() => node({ major, minor }), /\/dev\/x: there is no device /);
  }
  assert.throws(() => node({ uid: 2 ** 32 }), /\/dev\/x: uid 4294967296 is not between/);
  assert.throws(() => node({ gid: -1 }), /\/dev\/x: gid -1 is not between/);
});

test("/dev/core is made where there is a /proc/kcore, or nobody has looked", () => {
  const made = (kcore?: boolean) =>
    planDeviceLinks(true, kcore).some((step) => step.op === "symlink" && step.path === "/dev/core");
  assert.deepEqual([made(), made(true), made(false)], [true, true, false]);
});
