// containerd's containers made by gantry-runtime, driven by ctr: its shim calls create, start,
// exec, pause, kill and delete, and adopts the containers.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { ARCHIVED_IMAGE } from "../support/payload-archive.ts";
import { ForeignHost, programAt, whyNoEngine } from "./foreign-host.ts";
import type { Result, Session } from "./process.ts";

const skip = whyNoEngine("containerd", "containerd-shim-runc-v2", "ctr");
const SOCKET = "/run/containerd-test.sock";
const STATES = "/run/containerd/runc/default";

describe("containerd with gantry-runtime", { skip }, () => {
  let host: ForeignHost;
  let count = 0;
  before(async () => {
    host = await ForeignHost.make();
    const config = host.path("config.toml");
    const unused = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];
    await writeFile(
      config,
      [
        "version = 2",
        `root = "${host.path("root")}"`,
        'state = "/run/containerd-test"',
        `disabled_plugins = ${JSON.stringify(unused)}`,
        `[grpc]\naddress = "${SOCKET}"`,
      ].join("\n"),
    );
    await host.engine([programAt("containerd")!, "-c", config], ctr("version"));
    await host.ok(...ctr("image", "import", host.archive));
  });
  after(() => host?.[Symbol.asyncDispose]());

  const ctr = (...args: string[]) => [programAt("ctr")!, "--address", SOCKET, ...args];
  const newName = () => `c${++count}`;
  const runArgs = (name: string, flags: string[], command: string[]) =>
    ctr(
      ...["run", "--runc-binary", host.runtime, "--cgroup", `${host.cgroupParent}/${name}`],
      ...[...flags, ARCHIVED_IMAGE, name, ...command],
    );
  const run = (flags: string[], ...command: string[]): Promise<Result> =>
    host.run(runArgs(newName(), ["--rm", ...flags], command));
  const task = (...args: string[]) => host.ok(...ctr("task", ...args));
  async function started(flags: string[], ...command: string[]): Promise<string> {
    const name = newName();
    await host.ok(...runArgs(name, ["-d", ...flags], command));
    return name;
  }
  const exec = (name: string, ...command: string[]) =>
    task("exec", "--exec-id", `e${++count}`, name, ...command);
  async function remove(name: string): Promise<void> {
    await host.run(ctr("task", "kill", "-s", "SIGKILL", name));
    await task("rm", "-f", name).catch(() => {});
    await host.ok(...ctr("container", "rm", name));
  }

  test("output and exit code are the program's, and nothing is left", async () => {
    const { code, stdout, stderr } = await run([], "seq", "echo out", "err oops", "exit 7");
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
    assert.deepEqual(await host.states(STATES), []);
    assert.deepEqual(await host.cgroups(), []);
  });

  test("what cannot be executed is told in runc's words", async () => {
    const { code, stderr } = await run([], "nothing-like-it");
    assert.notEqual(code, 0);
    assert.match(stderr, /exec: "nothing-like-it": executable file not found in \$PATH/);
    assert.deepEqual(await host.states(STATES), []);
  });

  test("flags of ctr reach the kernel", async () => {
    const limits = ["--memory-limit", String(32 << 20), "--cwd", "/data", "--read-only"];
    assert.equal(
      (await run([...limits, "--env", "A=b"], "seq", "pwd", "env")).stdout,
      "/data\nPATH=/bin\nA=b\n",
    );
    assert.match((await run(limits, "write", "/file", "x")).stderr, /Read-only file system/);
    assert.match((await run(["--seccomp"], "status", "Seccomp")).stdout, /Seccomp:\s2/);
    const dropped = await run(["--cap-drop", "CAP_CHOWN"], "status", "CapEff");
    assert.match(dropped.stdout, /CapEff:\s0*a80425fa\b/);
    assert.equal((await run(["--memory-limit", String(8 << 20)], "eat", "64")).code, 137);
    const name = await started(limits, "sleep");
    const group = (await host.cgroups()).find((path) => /memory/.test(path));
    if (group !== undefined) {
      const limit = await readFile(`${group}/memory.limit_in_bytes`, "utf8");
      assert.equal(limit.trim(), String(32 << 20));
    }
    await remove(name);
    const mount = `type=bind,src=${host.folder},dst=/mounted,options=rbind:ro`;
    assert.match((await run(["--mount", mount], "ls", "/mounted")).stdout, /payload\.tar/);
  });

  test("a task takes execs, is paused and resumed, counted, killed", async () => {
    const name = await started([], "sleep");
    assert.equal(await exec(name, "echo", "inside"), "inside");
    const failing = await host.run(ctr("task", "exec", "--exec-id", "f", name, "exit", "5"));
    assert.equal(failing.code, 5);
    const missing = await host.run(ctr("task", "exec", "--exec-id", "m", name, "nothing-like-it"));
    assert.match(missing.stderr, /executable file not found in \$PATH/);
    await task("pause", name);
    assert.match(await task("ls"), new RegExp(`${name} .*PAUSED`));
    await task("resume", name);
    assert.match(await task("ls"), new RegExp(`${name} .*RUNNING`));
    // Disks that come and go on a busy machine make containerd skip a count.
    let metrics = "";
    for (const deadline = Date.now() + 60_000; metrics === "" && Date.now() < deadline; ) {
      if (!(await host.canCount())) break;
      metrics = (await host.run(ctr("task", "metrics", name))).stdout;
    }
    if (metrics !== "") assert.match(metrics, /memory|pids/);
    else assert.equal(await host.canCount(), false);
    assert.match(await task("ps", name), /\d+/);
    await task("kill", "-s", "SIGTERM", name);
    await task("delete", name).catch(() => {});
    await remove(name);
    assert.deepEqual(await host.states(STATES), []);
    assert.deepEqual(await host.cgroups(), []);
  });

  test("a terminal is the container's, with its size and its job control", async () => {
    const shell: Session = host.terminal(runArgs(newName(), ["--rm", "-t"], ["signals"]), {
      rows: 33,
      columns: 101,
    });
    await shell.until("ready");
    // Its size may have been set before it listened: it is asked for it.
    const size = /tty=111 rows=33 columns=101/;
    for (const deadline = Date.now() + 60_000; !size.test(shell.text) && Date.now() < deadline; ) {
      await task("kill", "-s", "SIGWINCH", `c${count}`);
    }
    await shell.until(size);
    shell.write("\x03");
    await shell.until("signal 2");
    await task("kill", "-s", "SIGTERM", `c${count}`);
    assert.equal(await shell.exitCode(), 0);
  });
});
