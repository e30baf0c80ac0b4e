// Restart policies on real containers, also over the end of a daemon.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make({ liveRestore: false });
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const create = async (Cmd: string[], Name: string, MaximumRetryCount = 0): Promise<string> => {
  const { id } = await fixture.engine.containers.create({
    config: { Image: IMAGE, Cmd, StopSignal: "SIGKILL" },
    hostConfig: { NetworkMode: "none", RestartPolicy: { Name, MaximumRetryCount } },
  });
  return id;
};

/** Subscribes now; the returned function resolves with that many events of the action. */
function events(id: string, action: string, count: number): () => Promise<void> {
  const all = fixture.engine.events.subscribe({ filters: new Map([["container", [id]]]) });
  return async () => {
    let seen = 0;
    for await (const event of all) if (event.Action === action && ++seen === count) return;
  };
}

test("on-failure restarts as often as it may, and the last exit is the container's", async () => {
  const { containers } = fixture.engine;
  const id = await create(["exit", "3"], "on-failure", 2);
  const deaths = events(id, "die", 3);
  await containers.start(id);
  await deaths();
  const { done } = await containers.wait(id, "not-running");
  assert.equal((await done).exitCode, 3);
  const { state, restartCount } = await containers.inspect(id);
  assert.deepEqual([state.Status, state.Restarting, restartCount], ["exited", false, 2]);
  await containers.remove(id);
});

test("on-failure leaves a success alone", async () => {
  const { containers } = fixture.engine;
  const id = await create(["exit", "0"], "on-failure");
  const { done } = await containers.wait(id, "next-exit");
  await containers.start(id);
  await done;
  const stopped = await containers.wait(id, "not-running");
  assert.equal((await stopped.done).exitCode, 0);
  assert.equal((await containers.inspect(id)).restartCount, 0);
  await containers.remove(id);
});

test("a container that waits for its next start can be stopped, and stays so", async () => {
  const { containers } = fixture.engine;
  const id = await create(["exit", "1"], "always");
  const deaths = events(id, "die", 4);
  await containers.start(id);
  await deaths();
  const { done } = await containers.wait(id, "not-running");
  await containers.stop(id);
  await done;
  const { state } = await containers.inspect(id);
  assert.deepEqual([state.Status, state.Restarting], ["exited", false]);
  await containers.remove(id);
});

test("unless-stopped starts again with the daemon what nobody had stopped", async () => {
  const [running, stopped, always] = [
    await create(["sleep"], "unless-stopped"),
    await create(["sleep"], "unless-stopped"),
    await create(["sleep"], "always"),
  ];
  for (const id of [running, stopped, always]) await fixture.engine.containers.start(id);
  for (const id of [stopped, always]) await fixture.engine.containers.stop(id);
  await fixture.close();
  await fixture.open();
  const { containers, events: bus } = fixture.engine;
  const started = new Set<string>();
  for await (const { Action, Actor } of bus.subscribe({ since: 1 })) {
    if (Action !== "start" || (Actor.ID !== running && Actor.ID !== always)) continue;
    // Events of the daemon before are told of too.
    if ((await containers.inspect(Actor.ID)).state.Running) started.add(Actor.ID);
    if (started.size === 2) break;
  }
  assert.equal((await containers.inspect(stopped)).state.Running, false);
  for (const id of [running, stopped, always]) await containers.remove(id, { force: true });
});
