// What health checks do to real containers: probes without a process, reactions to an unhealthy
// container, and what a check leaves behind.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const MS = 1e6; // nanoseconds
const CALM = { StopSignal: "SIGKILL" };

function nextEvent(id: string, action: RegExp): () => Promise<string> {
  const events = fixture.engine.events.subscribe({ filters: new Map([["container", [id]]]) });
  return async () => {
    for await (const event of events) if (action.test(event.Action)) return event.Action;
    throw new Error("the events ended");
  };
}

async function create(Cmd: string[], health: object, hostConfig: object = {}, config: object = {}) {
  const { id } = await fixture.engine.containers.create({
    config: {
      Image: IMAGE,
      Cmd,
      ...CALM,
      Healthcheck: { Interval: 20 * MS, Retries: 1, ...health },
      ...config,
    },
    hostConfig: { NetworkMode: "none", ...hostConfig },
  });
  return id;
}

test("a port of a container is asked from inside its network namespace", async () => {
  const { containers } = fixture.engine;
  const id = await create(["listen", "tcp", "5432"], { Test: ["TCP", ":5432"], Retries: 10_000 });
  const healthy = nextEvent(id, /^health_status/);
  await containers.start(id);
  assert.equal(await healthy(), "health_status: healthy");
  const { state } = await containers.inspect(id);
  assert.equal(state.Health?.Log.at(-1)?.Output, "tcp://localhost:5432: connected");
  await containers.remove(id, { force: true });
});

test("a stock client's shell command that is a URL is a probe without a process", async () => {
  const { containers } = fixture.engine;
  const id = await create(["listen", "tcp", "80"], { Test: ["CMD-SHELL", "http://:80/"] });
  const changed = nextEvent(id, /^(health_status|exec_)/);
  await containers.start(id);
  assert.equal(await changed(), "health_status: unhealthy");
  const { state } = await containers.inspect(id);
  assert.match(state.Health?.Log.at(-1)?.Output ?? "", /no HTTP\/1 answer|connection refused/);
  await containers.remove(id, { force: true });
});

test("an unhealthy container is restarted where that was asked for", async () => {
  const { containers } = fixture.engine;
  const id = await create(["sleep"], { Test: ["CMD", "false"] }, { OnUnhealthy: "restart" });
  const restarted = nextEvent(id, /^restart$/);
  await containers.start(id);
  const before = (await containers.inspect(id)).state.StartedAt;
  await restarted();
  const { state, restartCount, hostConfig } = await containers.inspect(id);
  assert.equal(hostConfig.OnUnhealthy, "restart");
  assert.notEqual(state.StartedAt, before);
  assert(restartCount >= 1);
  await containers.update(id, { OnUnhealthy: "none" });
  await containers.remove(id, { force: true });
});

test("an unhealthy container is stopped for good where a label asked for that", async () => {
  const { containers } = fixture.engine;
  const id = await create(
    ["sleep"],
    { Test: ["CMD", "false"] },
    { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } },
    { Labels: { "gantry.on-unhealthy": "stop" } },
  );
  const stopped = nextEvent(id, /^stop$/);
  await containers.start(id);
  await stopped();
  const { state } = await containers.inspect(id);
  assert.deepEqual([state.Status, state.Health?.Status], ["exited", "unhealthy"]);
  await containers.remove(id, { force: true });
});

test("a probe that takes too long is killed, with what it had said", async () => {
  const { containers } = fixture.engine;
  const id = await create(["sleep"], { Test: ["CMD", "sleep"], Timeout: 50 * MS });
  const sick = nextEvent(id, /^health_status/);
  await containers.start(id);
  assert.equal(await sick(), "health_status: unhealthy");
  const { state } = await containers.inspect(id);
  const result = state.Health?.Log.at(-1);
  assert.deepEqual(
    [result?.ExitCode, result?.Output],
    [-1, "Health check exceeded timeout (50ms)"],
  );
  await containers.remove(id, { force: true });
});

test("a container that is created with an impossible check or a NUL byte is refused", async () => {
  await assert.rejects(create(["sleep"], { Test: ["TCP", "nowhere"] }), /needs a port/);
  await assert.rejects(create(["sleep"], {}, { OnUnhealthy: "cry" }), /invalid OnUnhealthy 'cry'/);
  await assert.rejects(create(["echo", "a\0b"], {}), /invalid Cmd: it contains a NUL byte/);
  await assert.rejects(create(["echo"], {}, {}, { Env: ["A=b\0C=d"] }), /invalid Env/);
});
