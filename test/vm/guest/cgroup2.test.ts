// Limits on cgroup v2 alone, as current systems have it: run inside the virtual machine of
// test/vm/vm.ts (npm run test:vm), against Debian's kernel. What the container sees of its own
// cgroup is what the kernel enforces.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "../../e2e/harness.ts";

const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
const skip = whyNoDaemon() || (!isUnified && "needs cgroup v2: npm run test:vm");

describe("limits on cgroup v2", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const run = (...args: string[]) => ok("run", "--rm", "--network", "none", ...args);
  const cgroup = (...names: string[]) => ["cat", ...names.map((name) => `/sys/fs/cgroup/${name}`)];

  test("info names the version and its controllers' limits", async () => {
    assert.equal(await ok("info", "-f", "{{.CgroupVersion}}"), "2");
    assert.equal(await ok("info", "-f", "{{.MemoryLimit}} {{.PidsLimit}}"), "true true");
  });

  test("memory, swap, reservation, cpu, cpuset and pids are written as v2 has them", async () => {
    const flags = [
      ...["--memory", "64m", "--memory-swap", "64m", "--memory-reservation", "32m"],
      ...["--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "20"],
    ];
    const files = [
      "memory.max",
      "memory.swap.max",
      "memory.low",
      "cpu.max",
      "cpuset.cpus",
      "pids.max",
    ];
    const text = await run(...flags, IMAGE, ...cgroup(...files));
    assert.deepEqual(text.split("\n"), ["67108864", "0", "33554432", "50000 100000", "0", "20"]);
    const weight = Number(await run("--cpu-shares", "512", IMAGE, ...cgroup("cpu.weight")));
    assert.ok(weight > 0 && weight < 100, `${weight}`);
  });

  test("the container has a cgroup namespace of its own and may not write to it", async () => {
    assert.match(await run(IMAGE, "cat", "/proc/self/cgroup"), /^0::\/$/);
    const { stderr } = await daemon.client([
      "run",
      "--rm",
      "--network",
      "none",
      IMAGE,
      "write",
      "/sys/fs/cgroup/pids.max",
      "5",
    ]);
    assert.match(stderr, /Read-only file system/);
  });

  test("memory beyond the limit ends in an OOM kill that inspect tells", async () => {
    const limit = ["--memory", "16m", "--memory-swap", "16m", "--network", "none"];
    const id = await ok("run", "-d", ...limit, IMAGE, "eat", "200");
    assert.equal(await ok("wait", id), "137");
    assert.equal(await ok("inspect", "-f", "{{.State.OOMKilled}}", id), "true");
    await ok("rm", id);
  });

  test("--pids-limit stops a fork bomb", async () => {
    assert.equal(await run("--pids-limit", "10", IMAGE, "bomb", "50"), "forked 9 until EAGAIN");
  });

  test("devices are allowed and refused by a program on the cgroup", async () => {
    assert.equal(await run(IMAGE, "seq", "mknod /tmp/null 1 3"), "");
    // The machine's serial line: there, and no capability is needed to open it.
    const serial = [IMAGE, "mknod", "/tmp/serial", "4", "64"];
    const refused = await daemon.client(["run", "--rm", "--network", "none", ...serial]);
    assert.match(refused.stderr, /Operation not permitted/);
    assert.equal(await run("--device-cgroup-rule", "c 4:64 rmw", ...serial), "");
    assert.equal(await run("--privileged", ...serial), "");
  });

  test("pause freezes the cgroup and unpause thaws it", async () => {
    const id = await ok("run", "-d", "--network", "none", IMAGE, "lines", "100000", "10");
    await ok("pause", id);
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", id), "paused");
    const count = async () => (await ok("logs", id)).split("\n").length;
    const frozen = await count();
    assert.equal(await count(), frozen);
    await ok("unpause", id);
    await daemon.session("logs", "-f", id).until(`line ${frozen + 1}\n`);
    await ok("rm", "-f", id);
  });

  test("update changes the limits of what runs", async () => {
    const id = await ok("run", "-d", "--network", "none", IMAGE, "sleep");
    await ok("update", "--memory", "48m", "--memory-swap", "48m", "--cpus", "0.25", id);
    const text = await ok("exec", id, ...cgroup("memory.max", "cpu.max"));
    assert.equal(text, "50331648\n25000 100000");
    await ok("rm", "-f", id);
  });

  test("a daemon that is killed finds its containers again", async () => {
    const id = await ok("run", "-d", "--network", "none", IMAGE, "sleep");
    await daemon.restart("SIGKILL");
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", id), "running");
    assert.equal((await daemon.client(["exec", id, "exit", "4"])).code, 4);
    await ok("rm", "-f", id);
  });
});
