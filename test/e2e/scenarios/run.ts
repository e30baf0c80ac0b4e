// run and create, as both clients must do them: streams, exit codes, identity, environment, limits
// of the command line's own making. Each scenario is written once and driven by either client.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { IMAGE, type TestDaemon } from "../harness.ts";

export function runScenarios(daemon: () => TestDaemon): void {
  const run = (...args: string[]) => daemon().ok("run", "--rm", "--network", "none", ...args);
  const attempt = (...args: string[]) =>
    daemon().client(["run", "--rm", "--network", "none", ...args]);

  test("run prints what the command prints and passes its exit code on", async () => {
    const { code, stdout, stderr } = await attempt(IMAGE, "seq", "echo out", "err oops", "exit 7");
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
  });

  test("a command that is not there is 127, one that cannot be run 126, a bad flag 125", async () => {
    const missing = await attempt(IMAGE, "nosuch");
    assert.equal(missing.code, 127);
    assert.match(missing.stderr, /executable file not found in \$PATH/);
    const folder = await attempt(IMAGE, "/etc");
    assert.equal(folder.code, 126);
    assert.match(folder.stderr, /permission denied|is a directory/);
    assert.equal((await attempt("--nosuch-flag", IMAGE)).code, 125);
    const image = await attempt("--pull", "never", "nosuch-image", "true");
    assert.equal(image.code, 125);
    assert.match(image.stderr, /No such image: nosuch-image:latest/);
  });

  test("a container killed by a signal ends with 128 and its number", async () => {
    const id = await daemon().ok("run", "-d", "--network", "none", IMAGE, "stubborn");
    await daemon().ok("kill", id);
    assert.equal(await daemon().ok("wait", id), "137");
    await daemon().ok("rm", id);
  });

  test("-i passes stdin through to its end, byte for byte", async () => {
    const input = Buffer.alloc(300_000, "0123456789abcdef\n");
    const args = ["run", "--rm", "-i", "--network", "none", IMAGE, "cat"];
    const { code, stdout } = await daemon().client(args, { input });
    assert.equal(code, 0);
    assert.equal(stdout.length, input.length);
    assert.equal(stdout, input.toString());
  });

  test("an empty stdin ends at once", async () => {
    const args = ["run", "--rm", "-i", "--network", "none", IMAGE, "eof"];
    const { stdout } = await daemon().client(args, { input: "" });
    assert.equal(stdout, "eof after 0 bytes\n");
  });

  test("a lot of output arrives whole on each stream", async () => {
    const bytes = 5_000_000;
    const { stdout, stderr } = await attempt(
      ...[IMAGE, "seq", `spam ${bytes} out`, `spam ${bytes} err`],
    );
    assert.deepEqual([stdout.length, stderr.length], [bytes, bytes]);
  });

  test("environment, folder, host name and user are what the flags say", async () => {
    const flags = ["-e", "COLOUR=blue", "-w", "/new/folder", "-h", "box", "--domainname", "yard"];
    const text = await run(...flags, IMAGE, "seq", "env", "pwd", "hostname");
    assert.match(text, /^COLOUR=blue$/m);
    assert.match(text, /^HOSTNAME=box$/m);
    assert.match(text, /^PATH=\/bin$/m);
    assert.match(text, /^\/new\/folder$/m);
    assert.match(text, /^box yard$/m);
    assert.match(await run("-u", "app", IMAGE, "id"), /^uid=1000 gid=1000 groups=(1000,)?2000$/);
    assert.match(await run("-u", "5:6", "--group-add", "9", IMAGE, "id"), /^uid=5 gid=6 .*\b9\b/);
    assert.match(await run("-u", "app", IMAGE, "env"), /^HOME=\/home\/app$/m);
  });

  test("--env-file and a variable without value come from the client's side", async () => {
    const path = join(daemon().folder, "environment");
    await writeFile(path, "# a comment\nFIRST=1\nINHERITED\n");
    const args = [
      "run",
      "--rm",
      "--network",
      "none",
      "--env-file",
      path,
      "-e",
      "ALSO",
      IMAGE,
      "env",
    ];
    const env = { INHERITED: "yes", ALSO: "too" };
    const { stdout } = await daemon().client(args, { env });
    for (const line of ["FIRST=1", "INHERITED=yes", "ALSO=too"]) assert.match(stdout, RegExp(line));
  });

  test("an unknown user is refused and leaves nothing", async () => {
    const { code, stderr } = await attempt("-u", "nobody-here", IMAGE, "true");
    assert.equal(code, 125);
    assert.match(stderr, /unable to find user nobody-here/);
    assert.equal(await daemon().ok("ps", "-aq"), "");
  });

  test("--entrypoint replaces the image's, and an empty one takes it away", async () => {
    assert.equal(await run("--entrypoint", "echo", IMAGE, "a", "b"), "a b");
    assert.equal(await run("--entrypoint", "", IMAGE, "echo", "c"), "c");
  });

  test("--read-only makes everything but the mounts unwritable", async () => {
    const flags = ["--read-only", "--tmpfs", "/scratch:size=1m,mode=700"];
    const { code, stdout, stderr } = await attempt(
      ...[...flags, IMAGE, "seq", "write /scratch/x text", "cat /scratch/x", "write /x text"],
    );
    assert.equal(code, 1);
    assert.equal(stdout, "text\n");
    assert.match(stderr, /Read-only file system/);
  });

  test("--init reaps orphans and passes signals on", async () => {
    const reaped = await run("--init", IMAGE, "zombies", "3", "800");
    assert.doesNotMatch(reaped, / Z /);
    assert.match(await run(IMAGE, "zombies", "3"), / Z /);
    const id = await daemon().ok("run", "-d", "--init", "--network", "none", IMAGE, "signals");
    await daemon().session("logs", "-f", id).until("ready");
    await daemon().ok("stop", id);
    assert.equal(await daemon().ok("logs", id), "ready\nsignal 15");
    assert.equal(await daemon().ok("inspect", "-f", "{{.State.ExitCode}}", id), "0");
    await daemon().ok("rm", id);
  });

  test("--ulimit, --shm-size and --sysctl reach the container", async () => {
    assert.match(await run("--ulimit", "nofile=100:200", IMAGE, "limits"), /nofile=100:200/);
    const mounts = await run("--shm-size", "8m", IMAGE, "cat", "/proc/self/mountinfo");
    assert.match(mounts, /\/dev\/shm .* tmpfs .*size=8192k/);
    const sysctl = ["--sysctl", "kernel.msgmax=4096"];
    assert.equal(await run(...sysctl, IMAGE, "cat", "/proc/sys/kernel/msgmax"), "4096");
  });

  test("--cidfile holds the id, and is not overwritten", async () => {
    const path = join(daemon().folder, "cid");
    await run("--cidfile", path, IMAGE, "true");
    assert.match(await readFile(path, "utf8"), /^[0-9a-f]{64}$/);
    const again = await attempt("--cidfile", path, IMAGE, "true");
    assert.equal(again.code, 125);
    assert.match(again.stderr, /container ID file found/i);
  });

  test("a name is used once, and the refusal says by whom", async () => {
    const id = await daemon().ok("create", "--name", "taken", IMAGE);
    const { code, stderr } = await attempt("--name", "taken", IMAGE, "true");
    assert.equal(code, 125);
    assert.ok(
      stderr.includes(`The container name "/taken" is already in use by container "${id}"`),
    );
    await daemon().ok("rm", "taken");
    assert.equal((await attempt("--name", "bad name", IMAGE, "true")).code, 125);
  });

  test("labels are kept and found", async () => {
    const flags = ["--label", "tier=web", "--label", "empty"];
    const id = await daemon().ok("create", ...flags, IMAGE);
    assert.equal(await daemon().ok("ps", "-aq", "--no-trunc", "--filter", "label=tier=web"), id);
    assert.equal(await daemon().ok("ps", "-aq", "--filter", "label=tier=db"), "");
    await daemon().ok("rm", id);
  });

  test("hello-world needs no registry and proves its isolation", async () => {
    const text = await run("hello-world");
    assert.match(text, /Hello from Gantry!/);
    assert.match(text, /pid 1,/);
    assert.match(text, /capabilities +14 of 41:/);
    assert.match(text, /seccomp +on/);
    assert.match(text, /overlay/);
  });
}
