import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseFacts, sourceOf } from "./facts.ts";

const FACTS = {
  version: 1,
  containerId: "ab".repeat(32),
  externals: [{ target: "/data" }, { target: "/sys/fs/cgroup/pids", cgroup: "/sys/fs/cgroup/x" }],
  pipes: { stdout: "pipe:[12]", stderr: "pipe:[13]" },
  network: "4026531840",
};
const parse = (facts: unknown) => parseFacts(JSON.stringify(facts));

test("a checkpoint of a stranger names no place outside what the container has", () => {
  assert.deepEqual(parse(FACTS), FACTS);
  for (const wrong of [
    { externals: [{ target: "/data/../../etc" }] },
    { externals: [{ target: "data" }] },
    { externals: [{ target: 7 }] },
    { externals: [null] },
    { externals: [{ target: "/a", cgroup: "/sys/fs/cgroup/../../etc" }] },
    { pipes: { stdout: "file[/etc/shadow]" } },
    { network: "1]:x" },
    { containerId: "" },
  ]) {
    assert.throws(() => parse({ ...FACTS, ...wrong }), /make no sense/, JSON.stringify(wrong));
  }
  assert.throws(() => parse({ ...FACTS, version: 2 }), /another version/);
  assert.throws(() => parse(null), /another version/);
});

test("what came with a bind is restored from beneath it, never through a link", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-facts-"));
  try {
    await mkdir(join(folder, "bound/inner"), { recursive: true });
    await symlink("/etc", join(folder, "bound/link"));
    await symlink("bound", join(folder, "asked"));
    const mount = (source: string) => ({
      ociVersion: "1.2.0",
      mounts: [{ destination: "/data", type: "bind", source: join(folder, source) }],
    });
    const at = (source: string, target: string) => sourceOf(mount(source), { target });
    assert.equal(at("bound", "/data"), join(folder, "bound"));
    assert.equal(at("bound", "/data/inner"), join(folder, "bound/inner"));
    assert.equal(at("asked", "/data/inner"), join(folder, "asked/inner"));
    assert.throws(() => at("bound", "/data/link"), /is a link/);
    assert.throws(() => at("bound", "/data/link/ssl"), /is a link/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
