// What a container does with cgroups of its own, and what is left of them: delegation, execs into a
// cgroup that has children, kills of everything beneath, hostile depths.

import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { test } from "node:test";
import { until } from "../../support/deadline.ts";
import { type GuestDaemon, isGone, MIB, USERNS_START } from "../containers.ts";

const OWN = "/sys/fs/cgroup";
/** What docker-in-docker and systemd do first: the processes go down, the controllers follow. */
const DELEGATED = [
  `mkdir ${OWN}/init`,
  `write ${OWN}/init/cgroup.procs 0`,
  `write ${OWN}/cgroup.subtree_control +memory`,
];

export function tree(guest: GuestDaemon): void {
  test("a privileged container has its own cgroups beneath its own, and none is left", async () => {
    const id = await guest.start(
      [
        "seq",
        ...DELEGATED,
        `mkdir ${OWN}/job`,
        `write ${OWN}/job/memory.max 16777216`,
        "sleep 100",
      ],
      { Privileged: true, Memory: 64 * MIB },
    );
    await until("its sub-cgroups", () =>
      guest.read(id, "job/memory.max").then(
        (value) => value === String(16 * MIB),
        () => false,
      ),
    );
    assert.equal((await guest.read(id, "cgroup.procs")).length, 0, "the container went down");
    assert.equal((await guest.read(id, "init/cgroup.procs")).split("\n").length, 1);
    // The parent's limit cannot be undone from below.
    assert.equal(await guest.read(id, "memory.max"), String(64 * MIB));
    const outside = await guest.exec(id, "ls", OWN);
    assert.ok(outside.output.includes("init\n"), "it sees its own alone");
    const folder = guest.folder(id);
    await guest.remove(id);
    await isGone(folder);
  });

  test("an exec into a cgroup that has handed its controllers on joins init's", async () => {
    const id = await guest.start(["seq", ...DELEGATED, "sleep 100"], { Privileged: true });
    await until("the controllers", async () =>
      (await guest.read(id, "cgroup.subtree_control")).includes("memory"),
    );
    const { code, output } = await guest.exec(id, "cat", "/proc/self/cgroup");
    assert.equal(code, 0, output);
    assert.equal(output.trim(), "0::/init");
    await guest.remove(id);
  });

  test("root of a user namespace may make cgroups beneath its own, and no limit is its", async () => {
    const id = await guest.start(["seq", ...DELEGATED, `mkdir ${OWN}/job`, "sleep 100"], {
      SecurityOpt: ["userns=auto", "writable-cgroups=true"],
      Memory: 64 * MIB,
    });
    await until("its sub-cgroups", () =>
      stat(`${guest.folder(id)}/job`).then(
        () => true,
        () => false,
      ),
    );
    const { uid } = await stat(guest.folder(id));
    assert.ok(uid >= USERNS_START, `owned by ${uid}`);
    assert.equal((await stat(`${guest.folder(id)}/memory.max`)).uid, 0);
    const more = await guest.exec(id, "write", `${OWN}/memory.max`, "max");
    assert.match(more.output, /Permission denied/);
    assert.equal(await guest.read(id, "memory.max"), String(64 * MIB));
    const folder = guest.folder(id);
    await guest.remove(id);
    await isGone(folder);
  });

  test("stats, pause and the kill reach what is beneath", async () => {
    const id = await guest.start(["seq", ...DELEGATED, "sleep 100"], { Privileged: true });
    await until("the controllers", async () =>
      (await guest.read(id, "cgroup.subtree_control")).includes("memory"),
    );
    const container = guest.daemon.dockerode.getContainer(id);
    const stats = await container.stats({ stream: false, "one-shot": true });
    assert.ok(stats.memory_stats.usage > 0);
    assert.equal(stats.pids_stats?.current, 1);
    await container.pause();
    assert.match(await guest.read(id, "init/cgroup.events"), /frozen 1/);
    await container.unpause();
    await container.kill();
    assert.equal((await container.wait()).StatusCode, 137);
    await guest.remove(id);
  });

  test("without privileges the cgroups are there to read alone", async () => {
    const { output, code } = await guest.run(["mkdir", `${OWN}/mine`]);
    assert.notEqual(code, 0);
    assert.match(output, /Read-only file system/);
  });

  test("--cgroupns=host shows the host's cgroups", async () => {
    const id = await guest.start(["sleep", "100"], {
      CgroupnsMode: "host",
    } as object);
    const { output } = await guest.exec(id, "cat", "/proc/self/cgroup");
    assert.equal(output.trim(), `0::/${guest.daemon.cgroupParent}/${id}`);
    await guest.remove(id);
  });

  test("what outlives its container's process in the host's pid namespace is killed", async () => {
    // No pid namespace ends it: the cgroup does.
    const id = await guest.start(["seq", "trouble orphan"], { PidMode: "host" });
    const folder = guest.folder(id);
    await guest.exitCode(id);
    await guest.remove(id);
    await isGone(folder);
  });

  test("no folder of any container is left", async () => {
    const left = await readdir(guest.folder(""), { withFileTypes: true });
    const folders = left.filter((one) => one.isDirectory()).map(({ name }) => name);
    assert.deepEqual(
      folders.filter((name) => /^[0-9a-f]{64}$/.test(name)),
      [],
    );
  });
}
