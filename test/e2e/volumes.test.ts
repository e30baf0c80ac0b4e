// Volumes and binds: what a container writes there outlives it, what is read-only stays so, and no
// path of a container leads outside what it was given.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("volumes and binds", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const run = (...args: string[]) => ok("run", "--rm", "--network", "none", ...args);
  const attempt = (...args: string[]) =>
    daemon.client(["run", "--rm", "--network", "none", ...args]);

  test("a named volume is made, seeded from the image, kept, and removed when asked", async () => {
    const text = await run("-v", "kept:/data", IMAGE, "seq", "cat /data/seed", "write /data/new x");
    assert.equal(text, "seed");
    assert.equal(await run("-v", "kept:/other", IMAGE, "cat", "/other/new"), "x");
    assert.match(await run("-v", "kept:/data", IMAGE, "stat", "/data/seed"), /uid=1000 gid=1000/);
    assert.equal(await ok("volume", "ls", "-q"), "kept");
    assert.equal(await ok("volume", "rm", "kept"), "kept");
    assert.equal(await ok("volume", "ls", "-q"), "");
  });

  test("anonymous volumes go with --rm", async () => {
    assert.equal(await run("-v", "/data", IMAGE, "cat", "/data/seed"), "seed");
    assert.equal(await ok("volume", "ls", "-q"), "");
  });

  test("a volume in use is not removed", async () => {
    const id = await ok("create", "-v", "busy:/data", IMAGE);
    const { code, stderr } = await daemon.client(["volume", "rm", "busy"]);
    assert.equal(code, 1);
    assert.match(stderr, /volume is in use/);
    await ok("rm", id);
    await ok("volume", "rm", "busy");
  });

  test("a bind shows the host's folder, and ro makes it read-only", async () => {
    const folder = join(daemon.folder, "bound");
    await mkdir(folder);
    await writeFile(join(folder, "from-host"), "outside\n");
    assert.equal(await run("-v", `${folder}:/b`, IMAGE, "cat", "/b/from-host"), "outside");
    await run("-v", `${folder}:/b`, IMAGE, "write", "/b/from-container", "inside");
    assert.equal(await readFile(join(folder, "from-container"), "utf8"), "inside\n");
    const { code, stderr } = await attempt("-v", `${folder}:/b:ro`, IMAGE, "write", "/b/no", "x");
    assert.equal(code, 1);
    assert.match(stderr, /Read-only file system/);
    const file = join(folder, "from-host");
    assert.equal(await run("-v", `${file}:/etc/one`, IMAGE, "cat", "/etc/one"), "outside");
  });

  test("--mount refuses a source that is not there, -v makes it", async () => {
    const missing = join(daemon.folder, "missing");
    const strict = await attempt("--mount", `type=bind,src=${missing},dst=/m`, IMAGE, "true");
    assert.equal(strict.code, 125);
    assert.match(strict.stderr, /bind source path does not exist/);
    await run("-v", `${missing}:/m`, IMAGE, "write", "/m/x", "y");
    assert.equal(await readFile(join(missing, "x"), "utf8"), "y\n");
  });

  test("--tmpfs and --mount type=tmpfs are empty, private and limited", async () => {
    const text = await run(
      "--tmpfs",
      "/t:size=64k,mode=1777",
      IMAGE,
      "cat",
      "/proc/self/mountinfo",
    );
    assert.match(text, / \/t .*nosuid,nodev,noexec.* - tmpfs .*size=64k/);
    const mount = await run(
      ...["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m", IMAGE, "cat", "/proc/self/mountinfo"],
    );
    assert.match(mount, / \/t .* - tmpfs .*size=1024k/);
  });

  test("--volumes-from gives the mounts of another container", async () => {
    const id = await ok("create", "-v", "shared:/data", IMAGE);
    assert.equal(await run("--volumes-from", id, IMAGE, "cat", "/data/seed"), "seed");
    await ok("rm", id);
    await ok("volume", "rm", "shared");
  });

  test("a symlink of the image cannot lead a mount outside", async () => {
    const outside = join(daemon.folder, "outside");
    await mkdir(outside);
    const folder = join(daemon.folder, "with-link");
    await mkdir(folder);
    await symlink(outside, join(folder, "escape"));
    const flags = ["-v", `${folder}:/w`, "--tmpfs", "/w/escape/inner"];
    await attempt(...flags, IMAGE, "true");
    await assert.rejects(readFile(join(outside, "inner")));
  });
});
