// gantry-runtime --systemd-cgroup beneath a real systemd: the scope, its limits through a reload,
// update, exec, and what is left at the end.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { OciFixture } from "../../support/oci-fixture.ts";
import { proves } from "../../support/proves.ts";

const MIB = 1 << 20;
const CGROUPS = "/sys/fs/cgroup";

function show(unit: string, ...properties: string[]): Record<string, string> {
  const args = ["show", unit, ...properties.flatMap((name) => ["-p", name])];
  const text = execFileSync("systemctl", args, { encoding: "utf8" });
  return Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/)),
  );
}

after(() => execFileSync("systemctl", ["stop", "gantryruntime-vm.slice", "gantryruntime.slice"]));

const read = (path: string) => readFileSync(path, "utf8").trim();

/** A container that waits, in a slice of the test's own. */
async function start(oci: OciFixture, slice = "gantryruntime-vm.slice") {
  const { id, bundle } = await oci.bundle(["sleep", "1000"], (spec) => {
    spec.linux!.cgroupsPath = `${slice}:gantry:${spec.linux!.cgroupsPath!.split("/").at(-1)}`;
    spec.linux!.resources = {
      ...spec.linux!.resources,
      memory: { limit: 64 * MIB },
      cpu: { quota: 20_000, period: 100_000, cpus: "0" },
      pids: { limit: 50 },
    };
  });
  await oci.detached("--systemd-cgroup", "run", "-d", "--bundle", bundle, id);
  const unit = `gantry-${id}.scope`;
  return { id, unit, folder: `${CGROUPS}/gantryruntime.slice/gantryruntime-vm.slice/${unit}` };
}

test(`a container is born in a delegated scope whose limits survive a reload ${proves("runc-cmd", "(global) --systemd-cgroup")}`, async () => {
  await using oci = await OciFixture.make();
  const { id, unit, folder } = await start(oci);
  const { pid } = await oci.state(id);
  const procs = read(`${folder}/cgroup.procs`).split("\n");
  assert.deepEqual(procs, [String(pid)], "only the container is left in its scope");
  const told = show(unit, "Slice", "Delegate", "MemoryMax", "TasksMax", "ActiveState");
  assert.equal(told["Slice"], "gantryruntime-vm.slice");
  assert.equal(told["Delegate"], "yes");
  assert.equal(told["MemoryMax"], String(64 * MIB));
  assert.equal(told["TasksMax"], "50");
  assert.equal(told["ActiveState"], "active");
  execFileSync("systemctl", ["daemon-reload"]);
  assert.equal(read(`${folder}/memory.max`), String(64 * MIB));
  assert.equal(read(`${folder}/cpu.max`), "20000 100000");
  assert.equal(read(`${folder}/cpuset.cpus`), "0");
  assert.equal(read(`${folder}/pids.max`), "50");
});

test("update changes files and properties, and an exec is in the scope", async () => {
  await using oci = await OciFixture.make();
  const { id, unit, folder } = await start(oci);
  await oci.ok("update", "--memory", String(128 * MIB), "--pids-limit", "60", id);
  execFileSync("systemctl", ["daemon-reload"]);
  assert.equal(read(`${folder}/memory.max`), String(128 * MIB));
  assert.equal(show(unit, "MemoryMax")["MemoryMax"], String(128 * MIB));
  assert.equal(show(unit, "TasksMax")["TasksMax"], "60");
  await oci.detached("exec", "-d", id, "sleep", "999");
  assert.equal(read(`${folder}/cgroup.procs`).split("\n").length, 2);
  await oci.ok("pause", id);
  assert.equal((await oci.state(id)).status, "paused");
  await oci.ok("resume", id);
});

test("delete ends the scope and leaves neither folder nor unit", async () => {
  await using oci = await OciFixture.make();
  const { id, unit, folder } = await start(oci);
  await oci.ok("delete", "--force", id);
  assert(!existsSync(folder));
  assert.equal(show(unit, "LoadState")["LoadState"], "not-found");
});

test("a path that names no slice, and a unit that is there already, are refused", async () => {
  await using oci = await OciFixture.make();
  const wrong = await oci.bundle(["true"], (spec) => {
    spec.linux!.cgroupsPath = "/gantry/x";
  });
  const refused = await oci.call("--systemd-cgroup", "run", "-b", wrong.bundle, wrong.id);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /format .*slice:prefix:name.* for systemd cgroups/);
  const first = await start(oci);
  const second = await oci.bundle(["true"], (spec) => {
    spec.linux!.cgroupsPath = `gantryruntime-vm.slice:gantry:${first.id}`;
  });
  const again = await oci.call("--systemd-cgroup", "run", "-b", second.bundle, second.id);
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /already loaded/);
  assert.equal((await oci.state(first.id)).status, "running");
});
