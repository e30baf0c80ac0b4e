// The engine as a library, on the real kernel: a container's life from create to remove.

import assert from "node:assert/strict";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { EngineFixture, IMAGE, run, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

test("a container's output and exit code reach the program that ran it", async () => {
  const said = await run(fixture.engine, ["echo", "hello", "there"]);
  assert.deepEqual([said.exitCode, said.stdout, said.stderr], [0, "hello there\n", ""]);
  const failed = await run(fixture.engine, ["err", "no"]);
  assert.equal(failed.stderr, "no\n");
  assert.equal((await run(fixture.engine, ["exit", "7"])).exitCode, 7);
});

test("what a container wrote is in its log after it has ended", async () => {
  const { containers } = fixture.engine;
  const { id } = await fixture.engine.run({
    image: IMAGE,
    command: ["lines", "3"],
    hostConfig: { NetworkMode: "none" },
    config: { Tty: true },
  });
  const o = { follow: false, stdout: true, stderr: true, timestamps: false, details: false };
  const all = await text((await containers.logs(id, { ...o, tail: "all" })).stream);
  assert.deepEqual(all, "line 1\r\nline 2\r\nline 3\r\n");
  const last = await text((await containers.logs(id, { ...o, tail: 1 })).stream);
  assert.equal(last, "line 3\r\n");
  await containers.remove(id);
});

test("a followed log ends when the container does", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["cat"], { config: { OpenStdin: true } });
  const logs = await containers.logs(id, {
    follow: true,
    stdout: true,
    stderr: true,
    timestamps: false,
    details: false,
    tail: "all",
  });
  const read = text(logs.stream);
  await containers.kill(id, "KILL");
  assert.equal(typeof (await read), "string");
  await containers.remove(id);
});

test("a command that is not there is refused as docker does it, and leaves exit code 127", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["nosuch"] },
    hostConfig: { NetworkMode: "none" },
  });
  await assert.rejects(containers.start(id), {
    kind: "invalid",
    message: /exec: "nosuch": executable file not found in \$PATH/,
  });
  const { state } = await containers.inspect(id);
  assert.deepEqual([state.Status, state.ExitCode], ["created", 127]);
  await containers.remove(id);
});

test("a name in use, an unknown image and an unknown container are refused in docker's words", async () => {
  const { containers } = fixture.engine;
  const request = { name: "taken", config: { Image: IMAGE, Cmd: ["true"] }, hostConfig: {} };
  const { id } = await containers.create(request);
  await assert.rejects(containers.create(request), {
    kind: "conflict",
    message: new RegExp(
      `^Conflict\\. The container name "/taken" is already in use by container "${id}"`,
    ),
  });
  await containers.remove(id);
  await assert.rejects(
    containers.create({ config: { Image: "nosuch", Cmd: ["true"] }, hostConfig: {} }),
    { kind: "not-found", message: "No such image: nosuch:latest" },
  );
  await assert.rejects(containers.inspect("nosuch"), { message: "No such container: nosuch" });
});

test("exec runs beside init, with its own exit code", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep", "1000"]);
  const exec = await containers.execCreate(id, {
    Cmd: ["echo", "inside"],
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
  });
  const attached = await containers.execStart(exec.id, { detach: false, tty: false });
  const output = await text(attached!.stream);
  assert.equal(output.slice(8), "inside\n");
  const failed = await containers.execCreate(id, { Cmd: ["nosuch"] });
  await assert.rejects(containers.execStart(failed.id, { detach: true, tty: false }), {
    message: /^OCI runtime exec failed: .*executable file not found in \$PATH: unknown$/,
  });
  assert.equal((await containers.execInspect(failed.id)).ExitCode, 127);
  await containers.remove(id, { force: true });
});

test("stop ends a container with its signal, and kills one that ignores it", async () => {
  const { containers } = fixture.engine;
  const gentle = await startReady(["signals"]);
  await containers.stop(gentle);
  assert.equal((await containers.inspect(gentle)).state.ExitCode, 0);
  await assert.rejects(containers.stop(gentle), { kind: "not-modified" });
  const stubborn = await startReady(["stubborn"]);
  await containers.stop(stubborn, { timeoutSeconds: 0 });
  assert.equal((await containers.inspect(stubborn)).state.ExitCode, 137);
  await containers.remove(gentle);
  await containers.remove(stubborn);
});

test("a stop that may take longer than any timer does not kill at once", async () => {
  const { containers } = fixture.engine;
  const id = await startReady(["stubborn"]);
  const stopped = containers.stop(id, { timeoutSeconds: 2 ** 32 });
  const ended = stopped.then(() => "ended");
  const enough = new Promise((resolve) => setTimeout(resolve, 300, "runs"));
  assert.equal(await Promise.race([ended, enough]), "runs");
  await containers.kill(id, "KILL");
  await stopped;
  await containers.remove(id);
});

/** Starts a container and awaits its first output: it has its signal handlers then. */
async function startReady(command: string[]): Promise<string> {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: command },
    hostConfig: { NetworkMode: "none" },
  });
  const { stream } = await containers.attach(id, {
    stdin: false,
    stdout: true,
    stderr: false,
    stream: true,
    logs: false,
  });
  const ready = once(stream, "data");
  await containers.start(id);
  await ready;
  stream.destroy();
  return id;
}

test("a running container is removed only by force", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep", "1000"], { name: "busy" });
  await assert.rejects(containers.remove(id), {
    kind: "conflict",
    message:
      'cannot remove container "busy": container is running: stop the container before ' +
      "removing or force remove",
  });
  const { done } = await containers.wait(id, "removed");
  await containers.remove(id, { force: true });
  assert.equal((await done).exitCode, 137);
});

test("a container that ends is restarted as its policy says", async () => {
  const { containers } = fixture.engine;
  const policy = { Name: "on-failure", MaximumRetryCount: 2 };
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["exit", "3"] },
    hostConfig: { NetworkMode: "none", RestartPolicy: policy },
  });
  const died = countEvents("die", id);
  await containers.start(id);
  await died(3);
  await (await containers.wait(id, "not-running")).done;
  const { state, restartCount } = await containers.inspect(id);
  assert.deepEqual([state.Status, state.ExitCode, restartCount], ["exited", 3, 2]);
  await containers.remove(id);
});

/** Subscribes now; the returned function resolves when so many such events have come. */
function countEvents(action: string, id: string): (count: number) => Promise<void> {
  const filters = new Map([
    ["event", [action]],
    ["container", [id]],
  ]);
  const events = fixture.engine.events.subscribe({ filters });
  return async (count) => {
    let seen = 0;
    for await (const _ of events) if (++seen === count) return;
  };
}

test("a volume is filled from the image, outlives its container and is removed when free", async () => {
  const { containers, volumes } = fixture.engine;
  const first = await run(fixture.engine, ["cat", "/data/seed"], { Binds: ["seeds:/data"] });
  assert.equal(first.stdout, "seed\n");
  await run(fixture.engine, ["write", "/data/more", "text"], { Binds: ["seeds:/data"] });
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["ls", "/data"] },
    hostConfig: { NetworkMode: "none", Binds: ["seeds:/data"] },
  });
  await assert.rejects(volumes.remove("seeds"), {
    kind: "conflict",
    message: `remove seeds: volume is in use - [${id}]`,
  });
  await containers.remove(id);
  await volumes.remove("seeds");
  await assert.rejects(volumes.inspect("seeds"), { kind: "not-found" });
});

test("pause freezes and unpause thaws", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep", "1000"]);
  await containers.pause(id);
  assert.equal((await containers.inspect(id)).state.Status, "paused");
  await assert.rejects(containers.pause(id), { kind: "conflict" });
  await containers.unpause(id);
  assert.equal((await containers.inspect(id)).state.Status, "running");
  await containers.remove(id, { force: true });
});
