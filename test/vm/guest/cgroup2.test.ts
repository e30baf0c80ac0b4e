// cgroup v2 for real, on Debian's kernel: limits as the kernel holds them, read from outside; what
// happens when they are reached; freezing, live updates, devices through eBPF, and numbers.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon } from "../../e2e/harness.ts";

describe("containers on cgroup v2", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());

  const start = (...args: string[]) => daemon.ok("run", "-d", "--network", "none", ...args);
  const read = async (id: string, file: string) => {
    const path = `/sys/fs/cgroup/${daemon.cgroupParent}/${id}/${file}`;
    return (await readFile(path, "utf8")).trim();
  };
  const remove = (id: string) => daemon.ok("rm", "-f", id);

  test("info says so", async () => {
    assert.equal(await daemon.ok("info", "--format", "{{.CgroupVersion}}"), "2");
  });

  test("memory, swap, cpu, pids and cpuset limits are in the kernel", async () => {
    const id = await start(
      ...["-m", "64m", "--memory-swap", "96m", "--memory-reservation", "32m"],
      ...["--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "20", "--cpuset-cpus", "0"],
      ...[IMAGE, "sleep", "100"],
    );
    assert.equal(await read(id, "memory.max"), String(64 << 20));
    assert.equal(await read(id, "memory.swap.max"), String(32 << 20));
    assert.equal(await read(id, "memory.low"), String(32 << 20));
    assert.equal(await read(id, "cpu.max"), "50000 100000");
    assert.equal(await read(id, "pids.max"), "20");
    assert.equal(await read(id, "cpuset.cpus"), "0");
    const weight = Number(await read(id, "cpu.weight"));
    assert.ok(weight > 0 && weight < 100, `weight ${weight}`);
    await remove(id);
  });

  test("a live update changes them", async () => {
    const id = await start("-m", "64m", "--memory-swap", "64m", IMAGE, "sleep", "100");
    await daemon.ok("update", "-m", "80m", "--memory-swap", "80m", "--cpus", "1.5", id);
    assert.equal(await read(id, "memory.max"), String(80 << 20));
    assert.equal(await read(id, "cpu.max"), "150000 100000");
    await remove(id);
  });

  test("eating over the limit is an OOM kill that is seen and reported", async () => {
    const name = "greedy";
    const args = ["run", "--name", name, "--network", "none", "-m", "32m", "--memory-swap", "32m"];
    const { code } = await daemon.client([...args, IMAGE, "eat", "128"]);
    assert.equal(code, 137);
    assert.equal(await daemon.ok("inspect", "-f", "{{.State.OOMKilled}}", name), "true");
    await remove(name);
  });

  test("the pids limit stops a fork bomb", async () => {
    const args = ["run", "--rm", "--network", "none", "--pids-limit", "8", IMAGE, "bomb", "50"];
    const { stdout, stderr } = await daemon.client(args);
    assert.match(stdout + stderr, /forked [0-7] until EAGAIN/);
  });

  test("pause freezes through cgroup.freeze, unpause thaws", async () => {
    const id = await start(IMAGE, "sleep", "100");
    await daemon.ok("pause", id);
    assert.match(await read(id, "cgroup.events"), /frozen 1/);
    await daemon.ok("unpause", id);
    assert.match(await read(id, "cgroup.events"), /frozen 0/);
    await remove(id);
  });

  test("an exec is in the container's cgroup", async () => {
    const id = await start(IMAGE, "sleep", "100");
    await daemon.ok("exec", "-d", id, "/bin/sleep", "100");
    const pids = (await read(id, "cgroup.procs")).split("\n");
    assert.equal(pids.length, 2);
    await remove(id);
  });

  test("devices outside the rules are refused by the eBPF filter, inside they work", async () => {
    const open = (...flags: string[]) =>
      daemon.client([
        ...["run", "--rm", "--network", "none", ...flags, IMAGE],
        ...["mknod", "/tmp/memory", "1", "1"], // made and opened: /dev/mem
      ]);
    assert.match((await open()).stderr, /open: Operation not permitted/);
    const allowed = await open("--device-cgroup-rule", "c 1:1 rwm", "--cap-add", "SYS_RAWIO");
    assert.equal(allowed.code, 0, allowed.stderr);
  });

  test("stats have memory, cpu and process numbers", async () => {
    const id = await start(IMAGE, "sleep", "100");
    const stats = await daemon.dockerode.getContainer(id).stats({ stream: false });
    assert.equal(stats.pids_stats?.current, 1);
    assert.ok(stats.memory_stats.usage > 0);
    assert.ok(stats.cpu_stats.cpu_usage.total_usage > 0);
    await remove(id);
  });

  test("nothing of the cgroups is left after the containers", async () => {
    const id = await start(IMAGE, "true");
    await daemon.ok("wait", id);
    await remove(id);
    await assert.rejects(read(id, "cgroup.procs"), { code: "ENOENT" });
  });
});
