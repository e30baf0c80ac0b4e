// The engine with native.cgroupdriver=systemd beneath a real systemd: scopes in the daemon's own
// slice and in others, update, what is left behind, and a daemon that is killed.
// test-deadline: 600 s

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { GuestDaemon, isGone, MIB } from "../containers.ts";

const CGROUPS = "/sys/fs/cgroup";
const SLICE = "gantryengine-engine.slice";
const FOLDER = `${CGROUPS}/gantryengine.slice/${SLICE}`;

const property = (unit: string, name: string) =>
  execFileSync("systemctl", ["show", unit, "-p", name, "--value"], { encoding: "utf8" }).trim();
const folderOf = (id: string) => `${FOLDER}/gantry-${id}.scope`;
const read = (id: string, file: string) => readFileSync(`${folderOf(id)}/${file}`, "utf8").trim();

suite("an engine whose cgroups systemd makes", () => {
  let guest: GuestDaemon;
  before(async () => {
    guest = await GuestDaemon.start(
      ...["--exec-opt", "native.cgroupdriver=systemd", "--cgroup-parent", SLICE],
    );
  });
  after(async () => {
    await guest.stop();
    // The parents of the daemon's own slice, and what one container asked for.
    execFileSync("systemctl", ["stop", "gantryengine-other.slice", "gantryengine.slice"]);
  });

  test("info names the driver", async () => {
    const info = await guest.daemon.dockerode.info();
    assert.equal(info.CgroupDriver, "systemd");
    assert.equal(info.CgroupVersion, "2");
  });

  test("a container is a scope with its limits, through update and reload, and is gone after it", async () => {
    const id = await guest.start(["sleep", "1000"], { Memory: 64 * MIB, PidsLimit: 40 });
    const unit = `gantry-${id}.scope`;
    assert.equal(property(unit, "Slice"), SLICE);
    assert.equal(property(unit, "Delegate"), "yes");
    assert.equal(read(id, "cgroup.procs"), String(await guest.pid(id)));
    assert.equal(read(id, "memory.max"), String(64 * MIB));
    await guest.daemon.dockerode.getContainer(id).update({ Memory: 96 * MIB, MemorySwap: -1 });
    execFileSync("systemctl", ["daemon-reload"]);
    assert.equal(read(id, "memory.max"), String(96 * MIB));
    assert.equal(property(unit, "MemoryMax"), String(96 * MIB));
    assert.equal(read(id, "pids.max"), "40");
    const { output } = await guest.exec(id, "cat", "/proc/self/cgroup");
    assert.equal(output.trim(), "0::/", "exec is in the container's cgroup");
    await guest.remove(id);
    await isGone(folderOf(id));
    assert.equal(property(unit, "LoadState"), "not-found");
  });

  test("a container can be started again and again", async () => {
    const id = await guest.start(["true"]);
    const container = guest.daemon.dockerode.getContainer(id);
    for (let n = 0; n < 3; n++) {
      await container.wait();
      await isGone(folderOf(id));
      await container.start();
    }
    await guest.remove(id);
  });

  test("--cgroup-parent is a slice, and nothing else", async () => {
    const id = await guest.start(["sleep", "1000"], { CgroupParent: "gantryengine-other.slice" });
    assert(existsSync(`${CGROUPS}/gantryengine.slice/gantryengine-other.slice/gantry-${id}.scope`));
    await guest.remove(id);
    await assert.rejects(guest.start(["true"], { CgroupParent: "/x" }), /valid slice/);
  });

  test("a daemon that was killed finds its containers, and what ended meanwhile is gone", async () => {
    const id = await guest.start(["sleep", "1000"]);
    await guest.daemon.restart("SIGKILL");
    assert.equal(read(id, "cgroup.procs"), String(await guest.pid(id)));
    await guest.remove(id);
    await isGone(folderOf(id));
    assert.deepEqual(
      readdirSync(FOLDER).filter((name) => name.endsWith(".scope")),
      [],
    );
  });
});
