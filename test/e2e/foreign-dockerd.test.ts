// Docker's own daemon with gantry-runtime as its only runtime, through the stock client: dockerd
// calls it through containerd's shim, with a hook for its networks and an init for --init.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { ForeignHost, programAt, whyNoEngine } from "./foreign-host.ts";
import type { Result } from "./process.ts";

const skip = whyNoEngine("dockerd", "docker", "containerd", "containerd-shim-runc-v2", "runc");
const SOCKET = "/run/dockerd-test.sock";
const STATES = "/run/dockerd-test/runtime-gantry/moby";
const IMAGE = "payload:latest";

describe("dockerd with gantry-runtime", { skip }, () => {
  let host: ForeignHost;
  before(async () => {
    host = await ForeignHost.make();
    const config = host.path("daemon.json");
    await writeFile(
      config,
      JSON.stringify({
        hosts: [`unix://${SOCKET}`],
        "data-root": host.path("data"),
        "exec-root": "/run/dockerd-test",
        pidfile: "/run/dockerd-test.pid",
        "storage-driver": "overlay2",
        "cgroup-parent": host.cgroupParent,
        "default-runtime": "gantry",
        runtimes: { gantry: { path: host.runtime } },
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "deprecated-key-path": host.path("key.json"),
        // Rules need iptables on the machine; a bridge without any is enough here.
        iptables: false,
        ip6tables: false,
        "userland-proxy": false,
      }),
    );
    await host.engine([programAt("dockerd")!, "--config-file", config], docker("version"));
    await host.ok(...docker("load", "-i", host.archive));
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => [programAt("docker")!, "-H", `unix://${SOCKET}`, ...args];
  const ok = (...args: string[]) => host.ok(...docker(...args));
  const run = (...args: string[]): Promise<Result> =>
    host.run(docker("run", "--rm", "--network", "none", ...args));
  const started = (...args: string[]): Promise<string> =>
    ok("run", "-d", "--network", "none", ...args);

  test("output, input and exit code are the program's, and nothing is left", async () => {
    assert.equal(await ok("info", "-f", "{{.DefaultRuntime}}"), "gantry");
    const { code, stdout, stderr } = await run(IMAGE, "seq", "echo out", "err oops", "exit 7");
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
    const eof = docker("run", "--rm", "-i", "--network", "none", IMAGE, "eof");
    assert.equal((await host.run(eof, { input: "12345" })).stdout, "eof after 5 bytes\n");
    assert.deepEqual(await host.states(STATES), []);
    assert.deepEqual(await host.cgroups(), []);
  });

  test("what cannot be executed has docker's codes and words", async () => {
    const missing = await run(IMAGE, "nothing-like-it");
    assert.equal(missing.code, 127, missing.stderr);
    assert.match(missing.stderr, /exec: "nothing-like-it": executable file not found in \$PATH/);
    const noProgram = await run(IMAGE, "/data/seed");
    assert.equal(noProgram.code, 126, noProgram.stderr);
    assert.match(noProgram.stderr, /permission denied/);
    assert.deepEqual(await host.states(STATES), []);
  });

  test("flags reach the kernel", async () => {
    assert.match((await run("-u", "1000:2000", IMAGE, "id")).stdout, /1000.*2000/);
    const readOnly = await run("--read-only", IMAGE, "write", "/file", "x");
    assert.match(readOnly.stderr, /Read-only file system/);
    const tmpfs = await run("--read-only", "--tmpfs", "/tmp", IMAGE, "write", "/tmp/file", "x");
    assert.equal(tmpfs.code, 0, tmpfs.stderr);
    const init = await run("--init", IMAGE, "pid");
    assert.match(init.stdout, /pid=[2-9]\d* ppid=1/);
    assert.match((await run("-h", "named", IMAGE, "hostname")).stdout, /^named/);
    const dropped = await run("--cap-drop", "ALL", IMAGE, "status", "CapEff", "Seccomp");
    assert.match(dropped.stdout, /CapEff:\s0+\nSeccomp:\s2/);
    const oom = await started("-m", "16m", IMAGE, "eat", "64");
    assert.equal(await ok("wait", oom), "137");
    // Whether dockerd says OOMKilled is chance here: its shim listens only after the start.
    await ok("rm", oom);
  });

  test("volumes, binds and copies", async () => {
    await ok("volume", "create", "kept");
    const write = await run("-v", "kept:/data", IMAGE, "write", "/data/file", "kept");
    assert.equal(write.code, 0, write.stderr);
    const read = await run(
      "-v",
      "kept:/there:ro",
      IMAGE,
      "seq",
      "cat /there/file",
      "cat /there/seed",
    );
    assert.equal(read.stdout, "kept\nseed\n");
    const bound = await run("-v", `${host.folder}:/mounted:ro`, IMAGE, "ls", "/mounted");
    assert.match(bound.stdout, /payload\.tar/);
    const id = await started(IMAGE, "sleep");
    await writeFile(host.path("copied"), "copied\n");
    await ok("cp", host.path("copied"), `${id}:/copied`);
    assert.equal(await ok("exec", id, "cat", "/copied"), "copied");
    await ok("commit", id, "committed:one");
    assert.equal((await run("committed:one", "cat", "/copied")).stdout, "copied\n");
    assert.match(await ok("diff", id), /A \/copied/);
    await ok("rm", "-f", id);
  });

  test("a running container takes execs, stands still, is counted, is healthy", async () => {
    const health = 'HEALTHCHECK --interval=1s CMD ["/bin/true"]';
    const plain = await ok("create", IMAGE);
    await ok("commit", "--change", health, plain, "healthy:one");
    const id = await started("healthy:one", "sleep");
    assert.equal(await ok("exec", "-e", "A=b", "-w", "/data", id, "pwd"), "/data");
    assert.match(await ok("exec", "-u", "app", id, "id"), /1000/);
    assert.equal((await host.run(docker("exec", id, "exit", "5"))).code, 5);
    const missing = await host.run(docker("exec", id, "nothing-like-it"));
    assert.match(missing.stderr + missing.stdout, /executable file not found in \$PATH/);
    const typed = host.terminal(docker("exec", "-it", id, "signals"), { rows: 33, columns: 101 });
    await typed.until("ready");
    typed.write("\x1c\x03");
    await typed.until("signal 2");
    typed.write("\x10\x11");
    await ok("pause", id);
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", id), "paused");
    await ok("unpause", id);
    assert.match(await ok("top", id), /sleep/);
    const stats = await ok("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", id);
    if (await host.canCount()) assert.match(stats, /^[1-9].* [1-9]\d*$/);
    await until(
      async () => (await ok("inspect", "-f", "{{.State.Health.Status}}", id)) === "healthy",
    );
    await ok("rm", "-f", id, plain);
    await typed.exitCode();
    assert.deepEqual(await host.states(STATES), []);
  });

  test("limits of a running container are changed", async () => {
    const id = await started(IMAGE, "sleep");
    await ok("update", "--memory", "64m", "--memory-swap", "64m", id);
    const group = (await host.cgroups()).find((path) => /\/memory\//.test(path));
    if (group !== undefined) {
      const limit = await readFile(`${group}/memory.limit_in_bytes`, "utf8");
      assert.equal(limit.trim(), String(64 << 20));
    }
    await ok("rm", "-f", id);
  });

  test("stop, kill, restart and the logs of each life", async () => {
    const id = await started(IMAGE, "signals");
    await until(async () => (await ok("logs", id)).includes("ready"));
    await ok("kill", "-s", "USR1", id);
    await until(async () => (await ok("logs", id)).includes("signal 10"));
    await ok("stop", id);
    assert.equal(await ok("inspect", "-f", "{{.State.ExitCode}}", id), "0");
    await ok("start", id);
    await ok("restart", id);
    await until(async () => (await ok("logs", id)).match(/ready/g)?.length === 3);
    await ok("kill", id);
    assert.equal(await ok("wait", id), "137");
    await ok("rm", id);
    assert.deepEqual(await host.cgroups(), []);
  });

  test("a container on a bridge is reached by another", async () => {
    await ok("network", "create", "net");
    const id = await ok(
      "run",
      "-d",
      "--network",
      "net",
      "--name",
      "server",
      IMAGE,
      "listen",
      "tcp",
      "80",
    );
    await until(async () => (await ok("logs", id)).includes("listening"));
    const format = "{{.NetworkSettings.Networks.net.IPAddress}}";
    const address = await ok("inspect", "-f", format, id);
    const met = await host.run(
      docker("run", "--rm", "--network", "net", IMAGE, "connect", "tcp", address, "80"),
    );
    assert.match(met.stdout, /hello from/, met.stderr);
    await ok("rm", "-f", id);
    await ok("network", "rm", "net");
  });

  test("a terminal is the container's, and namespaces are shared with another", async () => {
    const shell = host.terminal(
      docker("run", "--rm", "-it", "--name", "typed", "--network", "none", IMAGE, "signals"),
      { rows: 33, columns: 101 },
    );
    await shell.until("ready");
    shell.write("\x03");
    await shell.until("signal 2");
    const namespaces = ["--pid", "container:typed", "--network", "container:typed"];
    const shared = await host.run(docker("run", "--rm", ...namespaces, IMAGE, "ps"));
    assert.match(shared.stdout, /signals/);
    await ok("stop", "typed");
    assert.equal(await shell.exitCode(), 0);
    assert.equal((await run("--privileged", IMAGE, "true")).code, 0);
  });
});

/** Resolves when it is true; throws after a minute. */
async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("It does not come true");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
