// Parts of the engine's surroundings end unexpectedly, or are told to: what becomes of containers.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Engine } from "../../src/index.ts";
import { EngineFixture, run, startContainer } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";

const PIDS = "/sys/fs/cgroup/pids";
const skip = existsSync(`${PIDS}/cgroup.procs`) ? false : "the host has no v1 pids hierarchy";

test("when the native program is killed containers run on, and the next start works", async () => {
  await using fixture = await EngineFixture.make();
  const id = await startContainer(fixture.engine, ["sleep"]);
  for (const pid of await childrenNamed("gantry-spawner")) process.kill(pid, "SIGKILL");
  // The first request may still meet the end of the old one.
  await run(fixture.engine, ["true"]).catch(() => {});
  assert.equal((await run(fixture.engine, ["echo", "again"])).stdout, "again\n");
  const { state } = await fixture.engine.containers.inspect(id);
  assert.equal(state.Status, "running");
});

test("when a monitor is killed its container ends too and leaves nothing", async () => {
  await using fixture = await EngineFixture.make();
  const { containers } = fixture.engine;
  const state = () =>
    kernelState({ cgroupParent: fixture.options.cgroupParent!, marker: fixture.root });
  const { cgroups } = await state();
  const id = await startContainer(fixture.engine, ["sleep"]);
  const { state: before } = await containers.inspect(id);
  const { done } = await containers.wait(id, "next-exit");
  process.kill(await parentOf(before.Pid), "SIGKILL");
  assert.equal((await done).exitCode, 255);
  assert.deepEqual((await state()).cgroups, cgroups);
  await containers.start(id);
  assert.equal((await containers.inspect(id)).state.Status, "running");
});

test("an engine that is closed without liveRestore stops its containers first", async () => {
  await using fixture = await EngineFixture.make({ liveRestore: false });
  const always = { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } };
  const once = await startContainer(fixture.engine, ["sleep"]);
  const again = await startContainer(fixture.engine, ["sleep"], { hostConfig: always });
  const before = (await fixture.engine.containers.inspect(again)).state;
  await fixture.close();
  const engine = await fixture.open();
  assert.equal((await engine.containers.inspect(once)).state.Status, "exited");
  const filters = new Map([
    ["event", ["start"]],
    ["container", [again]],
  ]);
  // Events are kept: the start before the engine was closed is told again first.
  let starts = 0;
  for await (const _ of engine.events.subscribe({ since: 0, filters })) {
    starts += 1;
    if (starts === 2) break;
  }
  const after = (await engine.containers.inspect(again)).state;
  assert.equal(after.Status, "running");
  assert.notEqual(after.Pid, before.Pid);
});

test("an engine that is closed with liveRestore leaves its containers running", async () => {
  await using fixture = await EngineFixture.make();
  const id = await startContainer(fixture.engine, ["sleep"]);
  const { Pid } = (await fixture.engine.containers.inspect(id)).state;
  await fixture.close();
  const engine = await fixture.open();
  const { state } = await engine.containers.inspect(id);
  assert.deepEqual([state.Status, state.Pid], ["running", Pid]);
});

test("an engine on the data root of another is refused, and the other goes on", async () => {
  await using fixture = await EngineFixture.make();
  const second = Engine.open({ ...fixture.options, execRoot: join(fixture.root, "exec2") });
  await assert.rejects(second, { kind: "conflict", message: /uses the data root/ });
  const third = Engine.open({ ...fixture.options, dataRoot: join(fixture.root, "data2") });
  await assert.rejects(third, { kind: "conflict", message: /uses the exec root/ });
  assert.equal((await run(fixture.engine, ["echo", "on"])).stdout, "on\n");
});

test("engines that share a cgroup parent do not take it from one another", async () => {
  await using one = await EngineFixture.make();
  await using other = await EngineFixture.make();
  await other.close();
  assert.equal((await run(one.engine, ["echo", "still"])).stdout, "still\n");
});

test("cgroups that a killed standby executor prepared are removed at boot", { skip }, async () => {
  await using fixture = await EngineFixture.make();
  const stray = join(PIDS, fixture.options.cgroupParent!, ".standby-99999999");
  await fixture.close();
  await mkdir(stray, { recursive: true });
  await fixture.open();
  assert.equal(existsSync(stray), false);
  await mkdir(stray);
  await fixture.close();
  assert.equal(existsSync(stray), false);
});

async function childrenNamed(name: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    const match = /^\d+ \((.*)\) \S (\d+)/s.exec(stat);
    if (match?.[1] === name && Number(match[2]) === process.pid) found.push(Number(pid));
  }
  return found;
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return Number(/\) \S (\d+)/.exec(stat)![1]);
}
