// The pool of prepared cgroups (native/pool.c): a container is born in a folder that a standby
// executor made while nobody waited, and nothing of the pool outlives it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, stat } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { containerPlan, NativeFixture } from "../support/native-fixture.ts";

const HIERARCHY = "/sys/fs/cgroup/pids";
const parent = `${HIERARCHY}/gantry-pool-${process.pid}`;
const skip = existsSync(`${HIERARCHY}/cgroup.procs`) ? false : "the host has no v1 pids hierarchy";

let native: NativeFixture;
before(async () => {
  native = await NativeFixture.make();
  if (!skip) await mkdir(parent);
});
after(async () => {
  await native[Symbol.asyncDispose]();
  if (!skip) await rmdir(parent);
});

const standbys = async () => (await readdir(parent)).filter((name) => name.startsWith(".standby-"));

/** Returns when as many executors wait inside. Entering a cgroup is no event of the file system. */
async function untilStandby(count: number): Promise<string[]> {
  for (;;) {
    const names = await standbys();
    const lists = names.map((name) =>
      readFile(`${parent}/${name}/cgroup.procs`, "utf8").catch(() => ""),
    );
    if ((await Promise.all(lists)).filter((pids) => pids !== "").length >= count) return names;
    await delay(10);
  }
}

async function startIn(path: string) {
  const config = native.config("pooled", { openStdin: true });
  const base = containerPlan(native.rootfs, ["hold"], config);
  const plan = {
    ...base,
    host: [{ op: "enterCgroups" as const, paths: [path] }, ...base.host],
    teardown: [{ op: "rmdir" as const, path, missingOk: true, retryMs: 1000 }],
  };
  return await native.start(["hold"], { ...plan, openStdin: true });
}

test("a container takes over a folder that was prepared before", { skip }, async () => {
  await native.spawner.preparePool([parent]);
  const names = await untilStandby(2);
  const prepared = await Promise.all(
    names.map(async (name) => (await stat(`${parent}/${name}`)).ino),
  );
  const path = `${parent}/taken`;
  const { created, monitor } = await startIn(path);
  assert.ok(prepared.includes((await stat(path)).ino), "the folder is another one");
  const line = new RegExp(`:pids:.*/gantry-pool-${process.pid}/taken$`, "m");
  assert.match(await readFile(`/proc/${created.pid}/cgroup`, "utf8"), line);
  await monitor.kill("", 9);
  await monitor.exited;
  await monitor.closed;
  assert.equal(existsSync(path), false);
});

test("a folder elsewhere is made and entered all the same", { skip }, async () => {
  const path = `${HIERARCHY}/gantry-pool-${process.pid}-elsewhere`;
  const { created, monitor } = await startIn(path);
  const line = new RegExp(`:pids:.*/gantry-pool-${process.pid}-elsewhere$`, "m");
  assert.match(await readFile(`/proc/${created.pid}/cgroup`, "utf8"), line);
  await monitor.kill("", 9);
  await monitor.closed;
  assert.equal(existsSync(path), false);
});

test("ending the pool leaves nothing that was prepared", { skip }, async () => {
  await untilStandby(1);
  await native.spawner.preparePool([]);
  assert.deepEqual(await standbys(), []);
});
