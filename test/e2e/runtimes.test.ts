// Containers of another OCI runtime, registered as daemon.json or --add-runtime has it: the same
// life as those of the built-in one.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
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
});
