import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockRoot } from "./data-root-lock.ts";
import { libraryOptions } from "./library-options.ts";

test("a root has one holder, and a broken lock is not another daemon", async () => {
  const root = await mkdtemp(join(tmpdir(), "lock-"));
  try {
    const lock = await lockRoot("exec", root);
    const taken = { kind: "conflict", message: /another daemon .* uses the exec root/ };
    await assert.rejects(lockRoot("exec", root), taken);
    lock.release();
    (await lockRoot("exec", root)).release();
    await writeFile(join(root, "daemon.lock"), Buffer.alloc(4096, 0xee));
    await assert.rejects(lockRoot("exec", root), { kind: "internal", message: /daemon\.lock/ });
  } finally {
    await rm(root, { recursive: true });
  }
});

test("an embedded engine has cgroups of its own; a given parent counts as shared", async () => {
  const own = await libraryOptions({ dataRoot: "/var/lib/mine" });
  const daemon = await libraryOptions({});
  assert.notEqual(own.engine.cgroupParent, daemon.engine.cgroupParent);
  assert.equal(own.engine.cgroupParentIsOwn, true);
  const given = await libraryOptions({ cgroupParent: "mine" });
  assert.equal(given.engine.cgroupParent, "mine");
  assert.equal(given.engine.cgroupParentIsOwn, false);
});
