// cgroup v2 for real: every limit that the API has, as the kernel holds it, read from outside; what
// a live update makes of them; and that they end with the container. On every kernel.

import assert from "node:assert/strict";
import { rmdir } from "node:fs/promises";
import { test } from "node:test";
import { IMAGE } from "../../e2e/harness.ts";
import { until } from "../../support/deadline.ts";
import { DISK, DISK_NUMBERS, type GuestDaemon, isGone, MIB, UNLOGGED } from "../containers.ts";

export function limits(guest: GuestDaemon): void {
  test("info tells the version, the driver and no warning about limits", async () => {
    const info = await guest.daemon.dockerode.info();
    assert.equal(info.CgroupVersion, "2");
    assert.equal(info.CgroupDriver, "cgroupfs");
    const warnings = (info.Warnings ?? []) as string[];
    assert.deepEqual(
      warnings.filter((line) => /memory|swap|cpu|pids|blkio/i.test(line)),
      [],
    );
  });

  test("memory, swap and reservation", async () => {
    const id = await guest.start(["sleep", "100"], {
      Memory: 64 * MIB,
      MemorySwap: 96 * MIB,
      MemoryReservation: 32 * MIB,
    });
    assert.equal(await guest.read(id, "memory.max"), String(64 * MIB));
    assert.equal(await guest.read(id, "memory.swap.max"), String(32 * MIB));
    assert.equal(await guest.read(id, "memory.low"), String(32 * MIB));
    await guest.remove(id);
  });

  test("memory alone has as much swap again, and -1 is no limit of swap", async () => {
    const twice = await guest.start(["sleep", "100"], { Memory: 64 * MIB });
    assert.equal(await guest.read(twice, "memory.swap.max"), String(64 * MIB));
    const free = await guest.start(["sleep", "100"], { Memory: 64 * MIB, MemorySwap: -1 });
    assert.equal(await guest.read(free, "memory.swap.max"), "max");
    await Promise.all([guest.remove(twice), guest.remove(free)]);
  });

  test("cpu: quota and period, cpus, shares as weight, cpusets", async () => {
    const quota = await guest.start(["sleep", "100"], { CpuQuota: 20_000, CpuPeriod: 50_000 });
    assert.equal(await guest.read(quota, "cpu.max"), "20000 50000");
    assert.equal(await guest.read(quota, "cpu.weight"), "100");
    const cpus = await guest.start(["sleep", "100"], {
      ...{ NanoCpus: 0.5e9, CpuShares: 512, CpusetCpus: "1", CpusetMems: "0" },
    });
    assert.equal(await guest.read(cpus, "cpu.max"), "50000 100000");
    assert.equal(await guest.read(cpus, "cpu.weight"), "59");
    assert.equal(await guest.read(cpus, "cpuset.cpus"), "1");
    assert.equal(await guest.read(cpus, "cpuset.mems"), "0");
    const inside = await guest.exec(cpus, "status", "Cpus_allowed_list");
    assert.match(inside.output, /Cpus_allowed_list:\s+1$/m);
    await Promise.all([guest.remove(quota), guest.remove(cpus)]);
  });

  test("pids, and without a limit there is none", async () => {
    const few = await guest.start(["sleep", "100"], { PidsLimit: 20 });
    assert.equal(await guest.read(few, "pids.max"), "20");
    const many = await guest.start(["sleep", "100"]);
    for (const file of ["pids.max", "memory.max", "memory.swap.max"]) {
      assert.equal(await guest.read(many, file), "max", file);
    }
    assert.equal(await guest.read(many, "cpu.max"), "max 100000");
    await Promise.all([guest.remove(few), guest.remove(many)]);
  });

  test("io: weight, weight of a device, bytes and operations of a device", async () => {
    const Path = DISK;
    const id = await guest.start(["sleep", "100"], {
      BlkioWeight: 500,
      BlkioDeviceReadBps: [{ Path, Rate: 4 * MIB }],
      BlkioDeviceWriteBps: [{ Path, Rate: 8 * MIB }],
      BlkioDeviceReadIOps: [{ Path, Rate: 1000 }],
      BlkioDeviceWriteIOps: [{ Path, Rate: 2000 }],
    });
    const line = `${DISK_NUMBERS} rbps=${4 * MIB} wbps=${8 * MIB} riops=1000 wiops=2000`;
    assert.equal(await guest.read(id, "io.max"), line);
    assert.match(await guest.read(id, "io.weight"), /^default 4950$/m);
    await guest.remove(id);
  });

  test("what v1 alone has is taken out of the request with docker's warning", async () => {
    const { dockerode } = guest.daemon;
    const container = await dockerode.createContainer({
      Image: IMAGE,
      HostConfig: { NetworkMode: "none", MemorySwappiness: 10, OomKillDisable: true },
    });
    const { HostConfig } = await container.inspect();
    assert.ok([null, undefined, -1].includes(HostConfig.MemorySwappiness));
    assert.ok(!HostConfig.OomKillDisable);
    await container.start();
    await guest.remove(container.id);
  });

  test("a live update changes them all, and takes a limit away", async () => {
    const id = await guest.start(["sleep", "100"], { Memory: 64 * MIB, MemorySwap: 64 * MIB });
    const container = guest.daemon.dockerode.getContainer(id);
    const before = { PidsLimit: 30, CpuShares: 2048, CpusetCpus: "0", NanoCpus: 1.5e9 };
    const memory = { Memory: 80 * MIB, MemorySwap: 90 * MIB, MemoryReservation: 16 * MIB };
    await container.update({ ...before, ...memory });
    assert.equal(await guest.read(id, "memory.max"), String(80 * MIB));
    assert.equal(await guest.read(id, "memory.swap.max"), String(10 * MIB));
    assert.equal(await guest.read(id, "memory.low"), String(16 * MIB));
    assert.equal(await guest.read(id, "pids.max"), "30");
    assert.equal(await guest.read(id, "cpu.weight"), "174");
    assert.equal(await guest.read(id, "cpuset.cpus"), "0");
    assert.equal(await guest.read(id, "cpu.max"), "150000 100000");
    await container.update({ BlkioWeight: 100, PidsLimit: -1, MemorySwap: -1 });
    assert.match(await guest.read(id, "io.weight"), /^default 910$/m);
    assert.equal(await guest.read(id, "pids.max"), "max");
    assert.equal(await guest.read(id, "memory.swap.max"), "max");
    await guest.remove(id);
  });

  test("pause freezes through cgroup.freeze, unpause thaws, and what is frozen can die", async () => {
    const id = await guest.start(["sleep", "100"]);
    const container = guest.daemon.dockerode.getContainer(id);
    await container.pause();
    assert.match(await guest.read(id, "cgroup.events"), /frozen 1/);
    await container.unpause();
    assert.match(await guest.read(id, "cgroup.events"), /frozen 0/);
    await container.pause();
    const folder = guest.folder(id);
    await guest.remove(id);
    await isGone(folder);
  });

  test("devices outside the rules are refused by the eBPF filter, inside they work", async () => {
    // Made and opened: /dev/mem; the filter alone refuses, for mknod is allowed.
    const mem = ["mknod", "/tmp/memory", "1", "1"];
    assert.match((await guest.run(mem)).output, /open: Operation not permitted/);
    const allowed = { DeviceCgroupRules: ["c 1:1 rwm"], CapAdd: ["SYS_RAWIO"] };
    assert.equal((await guest.run(mem, allowed)).code, 0);
    const readOnly = { ...allowed, DeviceCgroupRules: ["c 1:1 rm"] };
    assert.match((await guest.run(mem, readOnly)).output, /open: Operation not permitted/);
    const Devices = [{ PathOnHost: DISK, PathInContainer: "/dev/disk", CgroupPermissions: "r" }];
    const reading = await guest.start(["cat", "/dev/disk"], { Devices, ...UNLOGGED });
    assert.equal(await guest.exitCode(reading), 0);
    await guest.remove(reading);
    const writing = await guest.run(["fill", "/dev/disk", "1"], { Devices });
    assert.match(writing.output, /Operation not permitted/);
    assert.equal((await guest.run(mem, { Privileged: true })).code, 0);
  });

  test("an exec is in the container's cgroup", async () => {
    const id = await guest.start(["sleep", "100"]);
    const { output } = await guest.exec(id, "cat", "/proc/self/cgroup");
    assert.equal(output.trim(), "0::/");
    const exec = await guest.daemon.dockerode
      .getContainer(id)
      .exec({ Cmd: ["sleep", "100"], AttachStdout: true });
    await exec.start({ Detach: true });
    // The first exec may still be on its way out.
    const processes = async () => (await guest.read(id, "cgroup.procs")).split("\n");
    await until("the container and its exec", async () => (await processes()).length === 2);
    await guest.remove(id);
  });

  test("--cgroup-parent names another folder, which may be deep", async () => {
    const CgroupParent = `/${guest.daemon.cgroupParent}/deep/deeper`;
    const id = await guest.start(["sleep", "100"], { CgroupParent, Memory: 64 * MIB });
    const own = `deep/deeper/${id}`;
    assert.equal(await guest.read(own, "memory.max"), String(64 * MIB));
    assert.match(await guest.read("deep", "cgroup.subtree_control"), /memory/);
    await guest.remove(id);
    await isGone(guest.folder(own));
    // As in docker, a parent that somebody named stays.
    for (const left of ["deep/deeper", "deep"]) await rmdir(guest.folder(left));
  });
}
