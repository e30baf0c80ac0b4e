// Containers that are frozen to disk and brought back, with the machine's own CRIU. Without one
// that works here (`criu check`) only the answers that need none are tested.

import assert from "node:assert/strict";
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runDump } from "../../src/runtime/index.ts";
import { whyNoCriu } from "../support/criu.ts";
import { EngineFixture, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(() => fixture[Symbol.asyncDispose](), { timeout: 120_000 });

const DEADLINE_MS = 100_000;
const withCriu = {
  skip: whyNoCriu(),
  timeout: DEADLINE_MS, // CRIU itself may take 300 s
};

const LISTEN = ["listen", "tcp", "5000"];
const start = (o: { config?: object; hostConfig?: object } = {}) =>
  startContainer(fixture.engine, LISTEN, {
    config: { StopSignal: "SIGKILL", ...o.config },
    hostConfig: { Init: true, ...o.hostConfig },
  });

async function output(id: string, Cmd: string[]): Promise<string> {
  const { containers } = fixture.engine;
  const exec = await containers.execCreate(id, { Cmd, AttachStdout: true, Tty: true });
  const attached = await containers.execStart(exec.id, { detach: false, tty: true });
  const chunks: Buffer[] = [];
  for await (const chunk of attached!.stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString().trim();
}

test("a container comes back as it was, and ends as its program does", withCriu, async () => {
  const { containers } = fixture.engine;
  const id = await start({
    config: { StopSignal: "SIGTERM" },
    hostConfig: { Memory: 64 << 20, Tmpfs: { "/scratch": "" } },
  });
  await output(id, ["write", "/scratch/file", "kept"]);
  await containers.checkpoints.create(id, { name: "one" });
  assert.equal((await containers.inspect(id)).state.Status, "exited");
  await containers.start(id, { checkpoint: "one" });
  assert.equal(await output(id, ["cat", "/scratch/file"]), "kept");
  const { state } = await containers.inspect(id);
  assert.equal(state.Status, "running");
  assert.match(await output(id, ["connect", "tcp", "127.0.0.1", "5000"]), /^hello from/);
  await containers.stop(id);
  assert.equal((await containers.inspect(id)).state.ExitCode, 143);
  await containers.remove(id);
});

test("a restored container is found again by the next daemon", withCriu, async () => {
  const id = await start();
  await fixture.engine.containers.checkpoints.create(id, { name: "one" });
  await fixture.engine.containers.start(id, { checkpoint: "one" });
  await fixture.close();
  await fixture.open();
  const { containers } = fixture.engine;
  assert.match(await output(id, ["pid"]), /^pid=/);
  await containers.kill(id, "SIGKILL");
  assert.equal((await containers.inspect(id)).state.ExitCode, 137);
  await containers.remove(id);
});

test(
  "a container may go on after its checkpoint, and start from any folder",
  withCriu,
  async () => {
    const { containers } = fixture.engine;
    const id = await start();
    const dir = join(fixture.root, "checkpoints");
    await containers.checkpoints.create(id, { name: "two", dir, leaveRunning: true });
    assert.equal((await containers.inspect(id)).state.Running, true);
    assert.deepEqual(await containers.checkpoints.list(id, { dir }), [{ Name: "two" }]);
    assert.deepEqual(await containers.checkpoints.list(id), []);
    await assert.rejects(containers.checkpoints.create(id, { name: "two", dir }), {
      kind: "conflict",
      message: /checkpoint with name two already exists for container/,
    });
    await containers.kill(id, "SIGKILL");
    await containers.start(id, { checkpoint: "two", checkpointDir: dir });
    assert.equal((await containers.inspect(id)).state.Running, true);
    await containers.remove(id, { force: true });
  },
);

test("a damaged checkpoint is a failed start that leaves nothing", withCriu, async () => {
  const { containers } = fixture.engine;
  const id = await start();
  const dir = join(fixture.root, "damaged");
  await containers.checkpoints.create(id, { name: "bad", dir });
  await rm(join(dir, "bad", "pages-1.img"));
  await assert.rejects(
    containers.start(id, { checkpoint: "bad", checkpointDir: dir }),
    /criu failed: /,
  );
  assert.equal((await containers.inspect(id)).state.Running, false);
  await containers.start(id);
  assert.match(await output(id, ["pid"]), /^pid=/);
  await containers.remove(id, { force: true });
});

test("a CRIU that does not end is ended, and told", async () => {
  const folder = join(fixture.root, "hanging");
  await mkdir(folder);
  await writeFile(join(folder, "criu"), "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  const path = process.env["PATH"] ?? "";
  process.env["PATH"] = `${folder}:${path}`;
  try {
    await assert.rejects(runDump(["dump"], folder, { deadlineMs: 500 }), {
      kind: "timeout",
      message: `criu did not end within 0.5 s (${join(folder, "dump.log")})`,
    });
  } finally {
    process.env["PATH"] = path;
  }
});

test("what cannot be frozen is refused, and goes on", async () => {
  const { containers } = fixture.engine;
  const id = await start({ config: { Tty: true } });
  const { checkpoints } = containers;
  await assert.rejects(checkpoints.create(id, { name: "x" }), {
    kind: "not-implemented",
    message: /^Cannot checkpoint container .*: checkpoints of containers with a terminal/,
  });
  assert.deepEqual(await checkpoints.list(id), []);
  await assert.rejects(checkpoints.create(id, { name: "../x" }), /Invalid checkpoint ID/);
  assert.equal((await containers.inspect(id)).state.Running, true);
  await containers.kill(id, "SIGKILL");
  await assert.rejects(checkpoints.create(id, { name: "x" }), { kind: "conflict" });
  await containers.remove(id);
});

test("a checkpoint that is not there, or not ours, starts nothing", async () => {
  const { containers } = fixture.engine;
  const id = await start();
  await containers.kill(id, "SIGKILL");
  await assert.rejects(containers.start(id, { checkpoint: "none" }), {
    kind: "not-found",
    message: /^checkpoint none does not exist for container/,
  });
  const dir = join(fixture.root, "others");
  await mkdir(join(dir, "theirs"), { recursive: true });
  await assert.rejects(containers.start(id, { checkpoint: "theirs", checkpointDir: dir }), {
    message: "checkpoint theirs was not made by Gantry",
  });
  assert.deepEqual(await containers.checkpoints.list(id, { dir }), [{ Name: "theirs" }]);
  await containers.checkpoints.remove(id, "theirs", { dir });
  await assert.rejects(access(join(dir, "theirs")));
  await assert.rejects(containers.checkpoints.remove(id, "theirs", { dir }), { kind: "not-found" });
  await containers.remove(id);
});
