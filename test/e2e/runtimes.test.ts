// Containers of another OCI runtime, registered as daemon.json or --add-runtime has it: the same
// life as those of the built-in one.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const PLACES = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"];
const runc = PLACES.find((path) => existsSync(path));
const skip = whyNoDaemon() || (runc === undefined && "needs runc");

describe("another OCI runtime", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry", args: ["--add-runtime", `other=${runc}`] });
  });
  after(() => daemon.stop());
  const run = (...args: string[]) =>
    daemon.client(["run", "--rm", "--runtime", "other", "--network", "none", ...args]);

  test("output, exit code and standard input are the command's", async () => {
    const { code, stdout, stderr } = await run(IMAGE, "seq", "echo out", "err oops", "exit 7");
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
    const args = ["run", "--rm", "-i", "--runtime", "other", "--network", "none", IMAGE, "cat"];
    assert.equal((await daemon.client(args, { input: "hello" })).stdout, "hello");
  });

  test("what the runtime refuses is said as docker says it", async () => {
    const { code, stderr } = await run(IMAGE, "nosuch");
    assert.equal(code, 127, stderr);
    assert.match(stderr, /OCI runtime create failed: .*executable file not found in \$PATH/);
    const unknown = await daemon.client(["run", "--rm", "--runtime", "nosuch", IMAGE, "true"]);
    assert.equal(unknown.code, 125);
    assert.match(unknown.stderr, /unknown or invalid runtime name: nosuch/);
  });

  test("it lives on without its daemon, takes execs, and is killed as a whole", async () => {
    const args = ["run", "-d", "--runtime", "other", "--network", "none", "-m", "64m"];
    const id = await daemon.ok(...args, IMAGE, "sleep");
    await daemon.kill9();
    await daemon.start();
    assert.equal(await daemon.ok("exec", id, "echo", "inside"), "inside");
    assert.equal(await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", id), "other");
    await daemon.ok("pause", id);
    await daemon.ok("unpause", id);
    await daemon.ok("kill", id);
    assert.equal(await daemon.ok("wait", id), "137");
    await daemon.ok("start", id);
    await daemon.ok("rm", "-f", id);
  });

  test("its containers have no checkpoints, and go on", async () => {
    const args = ["run", "-d", "--runtime", "other", "--network", "none", IMAGE, "sleep"];
    const id = await daemon.ok(...args);
    const made = await daemon.client(["checkpoint", "create", id, "one"]);
    assert.match(made.stderr, /checkpoints of containers of the runtime other are not supported/);
    assert.equal(await daemon.ok("checkpoint", "ls", id), "CHECKPOINT NAME");
    assert.equal(await daemon.ok("inspect", "-f", "{{.State.Status}}", id), "running");
    await daemon.ok("rm", "-f", id);
  });
});

describe("another OCI runtime as the default", { skip }, () => {
  let folder: string;
  let config: string;
  let daemon: TestDaemon;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-runtimes-"));
    config = join(folder, "daemon.json");
    await configure("other");
    daemon = await startDaemon({ client: "gantry", args: ["--config-file", config] });
  });
  after(async () => {
    await daemon?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const configure = (name: string): Promise<void> =>
    writeFile(
      config,
      JSON.stringify({ "default-runtime": name, runtimes: { other: { path: runc } } }),
    );

  test("makes what names no runtime, and what names ours is ours", async () => {
    assert.equal(await daemon.ok("info", "-f", "{{.DefaultRuntime}}"), "other");
    const run = ["run", "-d", "--network", "none"];
    const theirs = await daemon.ok(...run, IMAGE, "sleep");
    const ours = await daemon.ok(...run, "--runtime", "runc", IMAGE, "sleep");
    const shown = await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", theirs, ours);
    assert.equal(shown, "other\nrunc");
    for (const id of [theirs, ours]) {
      assert.equal(await daemon.ok("exec", id, "echo", "inside"), "inside");
    }
    const bundle = (id: string) => join(daemon.folder, "data/containers", id, "bundle/config.json");
    assert.deepEqual([existsSync(bundle(theirs)), existsSync(bundle(ours))], [true, false]);
    // Who a container's runtime is does not change with the default.
    await configure("runc");
    await daemon.restart();
    assert.equal(await daemon.ok("info", "-f", "{{.DefaultRuntime}}"), "runc");
    await daemon.ok("start", theirs);
    assert.equal(await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", theirs), "other");
    assert.equal(await daemon.ok("exec", theirs, "echo", "again"), "again");
    await daemon.ok("rm", "-f", theirs, ours);
  });
});
