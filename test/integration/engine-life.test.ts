// What happens to a container while it lives: health checks, limits, statistics, terminals.

import assert from "node:assert/strict";
import { on, once } from "node:events";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { EngineFixture, IMAGE, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const MS = 1e6; // nanoseconds

/** Subscribes now; the returned function resolves with the first event whose action fits. */
function nextEvent(id: string, action: RegExp): () => Promise<string> {
  const events = fixture.engine.events.subscribe({ filters: new Map([["container", [id]]]) });
  return async () => {
    for await (const event of events) if (action.test(event.Action)) return event.Action;
    throw new Error("the events ended");
  };
}

test("a health check tells when a container becomes healthy and when it no longer is", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: {
      Image: IMAGE,
      Cmd: ["sleep"],
      Healthcheck: {
        Test: ["CMD", "cat", "/tmp/well"],
        Interval: 30 * MS,
        Timeout: 5000 * MS,
        Retries: 2,
        StartPeriod: 60_000 * MS,
        StartInterval: 20 * MS,
      },
    },
    hostConfig: { NetworkMode: "none" },
  });
  const changed = nextEvent(id, /^health_status: healthy/);
  await containers.start(id);
  assert.equal((await containers.inspect(id)).state.Health?.Status, "starting");
  const write = await containers.execCreate(id, { Cmd: ["write", "/tmp/well", "yes"] });
  await containers.execStart(write.id, { detach: true, tty: false });
  assert.equal(await changed(), "health_status: healthy");
  const { Health } = (await containers.inspect(id)).state;
  assert.deepEqual([Health?.FailingStreak, Health?.Log.at(-1)?.Output], [0, "yes\n"]);
  const sick = nextEvent(id, /^health_status/);
  const remove = await containers.execCreate(id, { Cmd: ["rm", "/tmp/well"] });
  await containers.execStart(remove.id, { detach: true, tty: false });
  assert.equal(await sick(), "health_status: unhealthy");
  await containers.remove(id, { force: true });
});

test("a container that takes more memory than it may is killed, and known as such", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["eat", "200"] },
    hostConfig: { NetworkMode: "none", Memory: 16 << 20 },
  });
  const oom = nextEvent(id, /^oom$/);
  const { done } = await containers.wait(id, "next-exit");
  await containers.start(id);
  assert.equal((await done).exitCode, 137);
  assert.equal(await oom(), "oom");
  assert.equal((await containers.inspect(id)).state.OOMKilled, true);
  await containers.remove(id);
});

test("update changes limits of a running container", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep"], {
    hostConfig: { Memory: 64 << 20, PidsLimit: 50 },
  });
  await containers.update(id, { Memory: 32 << 20, MemorySwap: 64 << 20, PidsLimit: 20 });
  const { hostConfig } = await containers.inspect(id);
  assert.deepEqual([hostConfig.Memory, hostConfig.PidsLimit], [32 << 20, 20]);
  for await (const sample of containers.stats(id, { stream: false, oneShot: true })) {
    const stats = sample as {
      memory_stats: { limit: number; usage: number };
      pids_stats: { current: number; limit: number };
    };
    assert.equal(stats.memory_stats.limit, 32 << 20);
    assert.deepEqual([stats.pids_stats.current, stats.pids_stats.limit], [1, 20]);
    assert(stats.memory_stats.usage > 0);
  }
  await containers.remove(id, { force: true });
});

test("a terminal is resized, and its client detaches with the keys", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["signals"], Tty: true, OpenStdin: true },
    hostConfig: { NetworkMode: "none" },
  });
  const { tty, stream } = await containers.attach(id, {
    stdin: true,
    stdout: true,
    stderr: true,
    stream: true,
    logs: false,
    detachKeys: "ctrl-a,x",
  });
  assert.equal(tty, true);
  const chunks = on(stream, "data");
  let seen = "";
  const says = async (text: string) => {
    while (!seen.includes(text)) seen += String((await chunks.next()).value?.[0]);
  };
  await containers.start(id);
  await says("ready");
  await containers.resize(id, 33, 77);
  await says("33");
  const ended = once(stream, "end");
  stream.write("\x01x");
  await ended;
  assert.equal((await containers.inspect(id)).state.Running, true);
  await containers.remove(id, { force: true });
});

test("a followed log is whole however often it is rotated meanwhile", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["lines", "3000"], Tty: true },
    hostConfig: {
      NetworkMode: "none",
      LogConfig: { Type: "json-file", Config: { "max-size": "4k", "max-file": "500" } },
    },
  });
  await containers.start(id);
  const o = { stdout: true, stderr: true, timestamps: false, details: false };
  const followed = await containers.logs(id, { ...o, follow: true, tail: "all" });
  const lines = (await text(followed.stream)).trimEnd().split("\r\n");
  assert.deepEqual(
    lines,
    Array.from({ length: 3000 }, (_, n) => `line ${n + 1}`),
  );
  const last = await containers.logs(id, { ...o, follow: false, tail: 100 });
  assert.deepEqual((await text(last.stream)).trimEnd().split("\r\n"), lines.slice(-100));
  await containers.remove(id, { force: true });
});

test("containers share namespaces when they are told to", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep"], {
    name: "donor",
    hostConfig: { IpcMode: "shareable" },
  });
  const shared = await fixture.engine.run({
    image: IMAGE,
    command: ["ns"],
    hostConfig: {
      NetworkMode: "container:donor",
      PidMode: "container:donor",
      IpcMode: "container:donor",
      AutoRemove: true,
    },
  });
  const exec = await containers.execCreate(id, { Cmd: ["ns"], AttachStdout: true });
  const attached = await containers.execStart(exec.id, { detach: false, tty: false });
  let said = "";
  for await (const chunk of attached!.stream) said += String(chunk.subarray(8));
  const of = (output: string, name: string) =>
    output.split("\n").find((line) => line.startsWith(name));
  for (const name of ["ipc", "net", "pid"]) assert.equal(of(shared.stdout, name), of(said, name));
  for (const name of ["mnt", "uts"]) assert.notEqual(of(shared.stdout, name), of(said, name));
  await containers.remove(id, { force: true });
  await assert.rejects(
    fixture.engine.run({
      image: IMAGE,
      command: ["true"],
      hostConfig: { NetworkMode: "container:donor", AutoRemove: true },
    }),
    {
      kind: "invalid",
      message: "joining network namespace of container: No such container: donor",
    },
  );
});
