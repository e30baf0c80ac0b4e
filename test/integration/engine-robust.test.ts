// Parts of the engine's surroundings end unexpectedly, or are told to: what becomes of containers.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { EngineFixture, run, startContainer } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";

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
  for await (const _ of engine.events.subscribe({ since: 0, filters })) break;
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
