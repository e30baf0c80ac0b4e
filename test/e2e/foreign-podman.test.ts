// Debian's podman with gantry-runtime: conmon calls create, start, exec, kill and delete, keeps the
// terminals and reads the logs, as it does for CRI-O.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { ForeignHost, programAt, whyNoEngine } from "./foreign-host.ts";
import type { Result } from "./process.ts";

const skip = whyNoEngine("podman", "conmon");
const IMAGE = "payload:latest";
/** With runc too: it gives the pod's cgroup a rule that denies every device. */
const skipPods = existsSync("/sys/fs/cgroup/cgroup.controllers")
  ? "podman 4.3 with cgroupfs makes no pods on cgroup v2"
  : false;

describe("podman with gantry-runtime", { skip }, () => {
  let host: ForeignHost;
  before(async () => {
    host = await ForeignHost.make();
    // Pods are held by a program of the machine's own, where podman's is not installed.
    await writeFile(
      host.path("containers.conf"),
      [
        "[engine]",
        `runtime = "gantry"`,
        'cgroup_manager = "cgroupfs"',
        'events_logger = "file"',
        'infra_image = "payload:latest"',
        `[engine.runtimes]\ngantry = ["${host.runtime}"]`,
      ].join("\n"),
    );
    await ok("load", "-i", host.archive);
  });
  after(() => host?.[Symbol.asyncDispose]());

  const podman = (...args: string[]) => [
    ...["env", `CONTAINERS_CONF=${host.path("containers.conf")}`, programAt("podman")!],
    ...["--root", host.path("storage"), "--runroot", "/run/podman-test"],
    ...["--tmpdir", "/run/podman-test/tmp", "--storage-driver", "overlay", ...args],
  ];
  const ok = (...args: string[]) => host.ok(...podman(...args));
  const run = (...args: string[]): Promise<Result> =>
    host.run(podman("run", "--rm", ...place(), ...args));
  const place = () => ["--network", "none", "--cgroup-parent", `/${host.cgroupParent}`];
  const started = (...args: string[]) => ok("run", "-d", ...place(), ...args);

  test("output, input and exit code are the program's, and nothing is left", async () => {
    assert.equal(await ok("info", "-f", "{{.Host.OCIRuntime.Name}}"), "gantry");
    const { code, stdout, stderr } = await run(IMAGE, "seq", "echo out", "err oops", "exit 7");
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
    const eof = podman("run", "--rm", "-i", ...place(), IMAGE, "eof");
    assert.equal((await host.run(eof, { input: "12345" })).stdout, "eof after 5 bytes\n");
    assert.deepEqual(await host.cgroups(), []);
  });

  test("what cannot be executed has podman's codes", async () => {
    const missing = await run(IMAGE, "nothing-like-it");
    assert.equal(missing.code, 127, missing.stderr);
    assert.match(missing.stderr, /executable file .?nothing-like-it|nothing-like-it.*not found/);
    const noProgram = await run(IMAGE, "/data/seed");
    assert.equal(noProgram.code, 126, noProgram.stderr);
  });

  test("flags reach the kernel", async () => {
    assert.match((await run("-u", "1000:2000", IMAGE, "id")).stdout, /1000.*2000/);
    const readOnly = await run("--read-only", IMAGE, "write", "/file", "x");
    assert.match(readOnly.stderr, /Read-only file system/);
    assert.match((await run("-h", "named", IMAGE, "hostname")).stdout, /^named/);
    const dropped = await run("--cap-drop", "ALL", IMAGE, "status", "CapEff", "Seccomp");
    assert.match(dropped.stdout, /CapEff:\s0+\nSeccomp:\s2/);
    await ok("volume", "create", "kept");
    const written = await run("-v", "kept:/data", IMAGE, "write", "/data/file", "kept");
    assert.equal(written.code, 0, written.stderr);
    const read = await run("-v", "kept:/there:ro", IMAGE, "cat", "/there/file");
    assert.equal(read.stdout, "kept\n");
    const oom = await started("-m", "16m", IMAGE, "eat", "64");
    assert.equal(await ok("wait", oom), "137");
    await ok("rm", oom);
  });

  test("a running container takes execs, stands still, is counted", async () => {
    const id = await started("--health-cmd", "look", "-e", "LOG=/tmp", IMAGE, "sleep");
    assert.equal(await ok("exec", "-w", "/data", id, "pwd"), "/data");
    assert.match(await ok("exec", "-u", "app", id, "id"), /1000/);
    assert.equal((await host.run(podman("exec", id, "exit", "5"))).code, 5);
    assert.equal((await host.run(podman("exec", id, "nothing-like-it"))).code, 127);
    const typed = host.terminal(podman("exec", "-it", id, "signals"), { rows: 33, columns: 101 });
    await typed.until("ready");
    typed.write("\x03");
    await typed.until("signal 2");
    await ok("pause", id);
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", id), "paused");
    await ok("unpause", id);
    assert.match(await ok("top", id, "pid", "args"), /sleep/);
    const stats = await ok("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", id);
    assert.match(stats, /^[1-9].* [1-9]\d*$/);
    await ok("healthcheck", "run", id);
    await ok("rm", "-f", "-t", "0", id);
    await typed.exitCode();
    assert.deepEqual(await host.cgroups(), []);
  });

  test("a container is updated", async () => {
    const id = await started(IMAGE, "sleep");
    await ok("update", "--memory", "64m", id);
    const group = (await host.cgroups()).find((path) => /\/memory\//.test(path));
    if (group !== undefined) {
      const limit = await readFile(`${group}/memory.limit_in_bytes`, "utf8");
      assert.equal(limit.trim(), String(64 << 20));
    }
    await ok("rm", "-f", "-t", "0", id);
  });

  test("stop, kill, restart and the logs of each life", async () => {
    const id = await started("--log-driver", "k8s-file", IMAGE, "signals");
    const log = async (text: RegExp) => {
      for (const deadline = Date.now() + 60_000; !text.test(await ok("logs", id)); ) {
        if (Date.now() > deadline) throw new Error(`No ${text} in the log`);
      }
    };
    await log(/ready/);
    await ok("kill", "-s", "USR1", id);
    await log(/signal 10/);
    await ok("stop", id);
    assert.equal(await ok("inspect", "-f", "{{.State.ExitCode}}", id), "0");
    await ok("start", id);
    await ok("restart", id);
    await log(/ready[\s\S]*ready[\s\S]*ready/);
    await ok("kill", id);
    assert.equal(await ok("wait", id), "137");
    await ok("rm", id);
  });

  test("containers of a pod share its namespaces", { skip: skipPods }, async () => {
    const cgroup = ["--cgroup-parent", `/${host.cgroupParent}`];
    await ok(
      "pod",
      "create",
      "--name",
      "pod",
      "--share",
      "ipc,uts,net",
      "--network",
      "none",
      "--infra-command",
      "/bin/sleep",
      ...cgroup,
    );
    await ok("run", "-d", "--name", "one", "--pod", "pod", IMAGE, "sleep");
    const ns = (pid: string) => ok("inspect", "-f", "{{.State.Pid}}", pid);
    const read = async (id: string) => host.ok("readlink", `/proc/${await ns(id)}/ns/ipc`);
    const infra = await ok("pod", "inspect", "pod", "-f", "{{.InfraContainerID}}");
    assert.equal(await read("one"), await read(infra));
    await ok("pod", "pause", "pod");
    await ok("pod", "unpause", "pod");
    await ok("pod", "stop", "-t", "0", "pod");
    await ok("pod", "rm", "-f", "pod");
    assert.deepEqual(await ok("ps", "-aq"), "");
  });

  test("a terminal is the container's", async () => {
    const shell = host.terminal(
      podman("run", "--rm", "-it", "--name", "typed", ...place(), IMAGE, "signals"),
      {
        rows: 33,
        columns: 101,
      },
    );
    await shell.until("ready");
    shell.write("\x03");
    await shell.until("signal 2");
    await ok("stop", "typed");
    assert.equal(await shell.exitCode(), 0);
  });
});
