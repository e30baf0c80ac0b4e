// The npm package dockerode against the API with an engine of fakes: attach and exec in each of
// its ways to stream (hijacked, plain, detached), logs, events, wait, load.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, PassThrough, Readable } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { after, before, test } from "node:test";
import Docker from "dockerode";
import { createApi } from "../../src/api/index.ts";
import { silentLogger } from "../../src/base/index.ts";
import { encodeFrame } from "../../src/protocol/index.ts";
import { fakeEngine } from "../fakes/engine.ts";

const fake = fakeEngine();
const api = createApi({ engine: fake.engine, serverVersion: "0.1.0", log: silentLogger }).server();
let folder = "";
let docker: Docker;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-api-"));
  const socketPath = join(folder, "api.sock");
  await new Promise<void>((resolve) => api.server.listen(socketPath, resolve));
  docker = new Docker({ socketPath });
});
after(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

/** A container that answers each line of stdin on stdout, and says goodbye on stderr. */
function answering(): Duplex {
  const stream: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      stream.push(encodeFrame(1, Buffer.from(`<${chunk}>`)));
      done();
    },
    final(done) {
      stream.push(encodeFrame(2, Buffer.from("bye")));
      stream.push(null);
      done();
    },
  });
  return stream;
}

async function talk(
  stream: NodeJS.ReadWriteStream,
  { halfClose = true } = {},
): Promise<{ stdout: string; stderr: string }> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  docker.modem.demuxStream(stream, stdout, stderr);
  const ended = once(stream, "end");
  stream.write("hello");
  if (halfClose) stream.end();
  await ended;
  stdout.end();
  stderr.end();
  return { stdout: await readAll(stdout), stderr: await readAll(stderr) };
}
const everything = { stream: true, stdin: true, stdout: true, stderr: true };

test("containers and images are listed and inspected", async () => {
  const [container] = await docker.listContainers();
  assert.deepEqual(container?.Names, ["/web"]);
  assert.equal((await docker.getContainer("web").inspect()).Config.Image, "alpine:3.20");
  await assert.rejects(docker.getContainer("nope").inspect(), { statusCode: 404 });
  assert.deepEqual((await docker.listImages())[0]?.RepoTags, ["alpine:3.20"]);
  assert.equal((await docker.ping()).toString(), "OK");
});

test("attach with hijack carries stdin and both outputs, and half-closes", async () => {
  fake.answers.set("containers.attach", async () => ({ tty: false, stream: answering() }));
  const stream = await docker.getContainer("web").attach({ ...everything, hijack: true });
  assert.deepEqual(await talk(stream), { stdout: "<hello>", stderr: "bye" });
});

test("attach without hijack carries stdin; the container ends it", async () => {
  fake.answers.set("containers.attach", async () => {
    const stream = answering();
    stream.once("data", () => stream.end());
    return { tty: false, stream };
  });
  const stream = await docker.getContainer("web").attach(everything);
  // Its end() closes the whole connection, whatever the server does.
  assert.deepEqual(await talk(stream, { halfClose: false }), { stdout: "<hello>", stderr: "bye" });
});

test("attach without stdin only reads", async () => {
  fake.answers.set("containers.attach", async () => {
    const stream = new PassThrough();
    stream.end(encodeFrame(1, Buffer.from("output")));
    return { tty: false, stream };
  });
  const stream = await docker.getContainer("web").attach({ stream: true, stdout: true });
  const stdout = new PassThrough();
  docker.modem.demuxStream(stream, stdout, stdout);
  await once(stream, "end");
  stdout.end();
  assert.equal(await readAll(stdout), "output");
});

test("exec runs hijacked, plain and detached", async () => {
  fake.answers.set("containers.execStart", async (_id: string, o: { detach: boolean }) =>
    o.detach ? undefined : { tty: false, stream: answering() },
  );
  const container = docker.getContainer("web");
  const create = () => container.exec({ Cmd: ["cat"], AttachStdin: true, AttachStdout: true });
  const hijacked = await (await create()).start({ hijack: true, stdin: true });
  assert.deepEqual(await talk(hijacked), { stdout: "<hello>", stderr: "bye" });
  fake.answers.set("containers.execStart", async (_id: string, o: { detach: boolean }) => {
    if (o.detach) return undefined;
    const stream = answering();
    stream.end("plain");
    return { tty: false, stream };
  });
  const plain = await (await create()).start({});
  const output = new PassThrough();
  docker.modem.demuxStream(plain, output, output);
  await once(plain, "end");
  output.end();
  assert.equal(await readAll(output), "<plain>bye");
  await (await create()).start({ Detach: true });
});

test("logs follow, wait waits, events flow, load streams", async () => {
  fake.answers.set("containers.logs", async () => {
    const blocks = new PassThrough();
    setImmediate(() => blocks.end(encodeFrame(1, Buffer.from("line\n"))));
    return { tty: false, blocks };
  });
  const container = docker.getContainer("web");
  const logs = await container.logs({ follow: true, stdout: true, stderr: true });
  assert.match(await readAll(logs as Readable), /line\n$/);
  assert.deepEqual(await container.wait(), { StatusCode: 3 });
  fake.answers.set("events.subscribe", async function* () {
    const Actor = { ID: "c", Attributes: {} };
    yield { Type: "container", Action: "die", Actor, scope: "local", time: 1, timeNano: 1 };
  });
  const events = await docker.getEvents({ filters: { type: ["container"] } });
  assert.equal(JSON.parse(await readAll(events as Readable)).Action, "die");
  const filters = fake.calls.findLast(({ verb }) => verb === "events.subscribe")?.args[0];
  assert.deepEqual((filters as { filters: Map<string, string[]> }).filters.get("type"), [
    "container",
  ]);
  fake.answers.set("images.load", async function* (from: Readable) {
    yield { stream: await readAll(from) };
  });
  const loaded = await docker.loadImage(Readable.from(["archive"]));
  assert.deepEqual(JSON.parse(await readAll(loaded as Readable)), { stream: "archive" });
});
