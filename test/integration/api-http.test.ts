// The API over real HTTP with an engine of fakes: headers, errors, versions, streams that send
// their headers at once, aborts, big bodies, kept-alive connections; and the stock docker client.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { createApi } from "../../src/api/index.ts";
import { GantryError, silentLogger } from "../../src/base/index.ts";
import { fakeEngine } from "../fakes/engine.ts";

const fake = fakeEngine();
const api = createApi({ engine: fake.engine, serverVersion: "0.1.0", log: silentLogger }).server();
let folder = "";
let socketPath = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-api-"));
  socketPath = join(folder, "api.sock");
  await new Promise<void>((resolve) => api.server.listen(socketPath, resolve));
});
after(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
}
const open = async (
  method: string,
  path: string,
  body?: string | Buffer | Readable,
  headers: Record<string, string> = {},
): Promise<IncomingMessage> => {
  const outgoing = request({ socketPath, method, path, headers, agent: false });
  if (body instanceof Readable) body.pipe(outgoing);
  else outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return response;
};
const ask = async (...args: Parameters<typeof open>): Promise<Answer> => {
  const response = await open(...args);
  const body = await readAll(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
};
const askJson = (method: string, path: string, body: unknown): Promise<Answer> =>
  ask(method, path, JSON.stringify(body), { "Content-Type": "application/json" });

test("ping answers GET and HEAD with docker's headers", async () => {
  const { status, headers, body } = await ask("GET", "/_ping");
  assert.deepEqual([status, body], [200, "OK"]);
  assert.equal(headers["api-version"], "1.55");
  assert.equal(headers["docker-experimental"], "false");
  assert.equal(headers["ostype"], "linux");
  assert.match(String(headers["server"]), /^Gantry\/0\.1\.0/);
  assert.equal(headers["content-type"], "text/plain; charset=utf-8");
  assert.equal(headers["cache-control"], "no-cache, no-store, must-revalidate");
  const head = await ask("HEAD", "/v1.40/_ping");
  assert.deepEqual([head.status, head.body, head.headers["swarm"]], [200, "", "inactive"]);
});

test("errors are JSON documents with docker's statuses", async () => {
  const expected: [string, string, number, RegExp][] = [
    ["GET", "/v1.50/containers/nope/json", 404, /No such container: nope/],
    ["GET", "/v1.20/info", 400, /client version 1\.20 is too old/],
    ["GET", "/v1.99/info", 400, /client version 1\.99 is too new/],
    ["GET", "/nowhere", 404, /page not found/],
    ["PUT", "/containers/json", 404, /page not found/],
    ["GET", "/%zz", 400, /malformed/],
    ["GET", "/v1.44/services", 503, /This node is not a swarm manager/],
    ["POST", "/build?version=3", 400, /invalid version 3/],
    ["POST", "/v1.24/containers/prune", 400, /requires minimum API version 1\.25/],
    ["GET", "/containers/json?limit=x", 400, /strconv\.Atoi/],
    ["GET", "/containers/json?filters=%7B%22x%22%3A%5B%5D%7D", 400, /invalid filter 'x'/],
    ["POST", "/containers/web/wait?condition=never", 400, /invalid condition: /],
    ["GET", "/containers/web/logs", 400, /you must choose at least one stream/],
    ["POST", "/exec/e/resize?h=1", 400, /invalid resize width "": invalid syntax/],
    ["HEAD", "/containers/web/archive", 400, /^$/],
  ];
  for (const [method, path, status, message] of expected) {
    const answer = await ask(method, path);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    assert.equal(answer.headers["content-type"], "application/json");
    assert.match(method === "HEAD" ? "" : JSON.parse(answer.body).message, message);
  }
});

test("a path that is not clean is moved for good, as by dockerd", async () => {
  const { status, headers, body } = await ask("GET", "/v1.44//containers/./json?all=1");
  assert.deepEqual([status, body], [301, ""]);
  assert.equal(headers.location, "/v1.44/containers/json?all=1");
});

test("bodies are checked before the engine sees them", async () => {
  const create = "/containers/create";
  const wrongType = await ask("POST", create, "{}", { "Content-Type": "text/plain" });
  assert.match(wrongType.body, /unsupported Content-Type header \(text\/plain\)/);
  const broken = await ask("POST", create, "{x", { "Content-Type": "application/json" });
  assert.match(broken.body, /invalid JSON: invalid character 'x'/);
  for (const cut of ["{", '{"Image":', '{"Image":"x", ', "[1"]) {
    const { body } = await ask("POST", create, cut, { "Content-Type": "application/json" });
    assert.match(body, /invalid JSON: unexpected EOF/, cut);
  }
  const none = await ask("POST", create);
  assert.match(none.body, /got EOF while reading request body/);
  const huge = await askJson("POST", create, { Image: "x".repeat(9 * 1024 * 1024) });
  assert.deepEqual([huge.status, /larger than/.test(huge.body)], [400, true]);
  const good = await askJson("POST", `${create}?name=web`, { Image: "alpine" });
  assert.equal(good.status, 201);
  assert.deepEqual(JSON.parse(good.body), { Id: "c".repeat(64), Warnings: [] });
});

test("not modified has no body, and an engine's failure is a 500", async () => {
  fake.answers.set("containers.start", async () => {
    throw new GantryError("not-modified", "running already");
  });
  const same = await ask("POST", "/containers/web/start");
  assert.deepEqual([same.status, same.body], [304, ""]);
  fake.answers.set("containers.start", async () => {
    throw new TypeError("surprise");
  });
  const broken = await ask("POST", "/containers/web/start");
  assert.deepEqual([broken.status, JSON.parse(broken.body)], [500, { message: "surprise" }]);
});

test("wait, events and logs send their headers before anything happens", async () => {
  let exit: (result: { exitCode: number }) => void = () => {};
  fake.answers.set("containers.wait", async () => ({
    done: new Promise((resolve) => (exit = resolve)),
  }));
  const waiting = await open("POST", "/v1.44/containers/web/wait?condition=next-exit");
  assert.equal(waiting.statusCode, 200);
  exit({ exitCode: 7 });
  assert.equal(await readAll(waiting), '{"StatusCode":7}\n');

  const logs = new PassThrough();
  fake.answers.set("containers.logs", async () => ({ tty: false, blocks: logs }));
  const following = await open("GET", "/v1.44/containers/web/logs?follow=1&stdout=1");
  assert.equal(following.headers["content-type"], "application/vnd.docker.multiplexed-stream");
  logs.end("line");
  assert.equal(await readAll(following), "line");
});

test("events are documents a line; the client's going away ends the subscription", async () => {
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  fake.answers.set("events.subscribe", async function* ({ signal }: { signal: AbortSignal }) {
    const Actor = { ID: "c", Attributes: { image: "alpine" } };
    const timeNano = 1_700_000_000_123_456_789n;
    yield { Type: "container", Action: "start", Actor, scope: "local", time: 1, timeNano };
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended();
  });
  const stream = await open("GET", "/v1.44/events");
  const [chunk] = (await once(stream, "data")) as [Buffer];
  assert.match(chunk.toString(), /^\{"status":"start","id":"c","from":"alpine","Type":"container"/);
  assert.match(chunk.toString(), /"timeNano":1700000000123456789\}\n$/);
  stream.destroy();
  await end;
  const lines = await open("GET", "/events", undefined, { Accept: "application/json-seq" });
  assert.equal(lines.headers["content-type"], "application/json-seq");
  const [record] = (await once(lines, "data")) as [Buffer];
  assert.match(record.toString(), /^\x1e\{"Type":"container"/);
  lines.destroy();
});

test("a request that is abandoned aborts its verb", async () => {
  let aborted: () => void = () => {};
  const abort = new Promise<void>((resolve) => (aborted = resolve));
  let begun: () => void = () => {};
  const begin = new Promise<void>((resolve) => (begun = resolve));
  fake.answers.set("containers.start", async (_ref: string, o: { signal: AbortSignal }) => {
    o.signal.addEventListener("abort", aborted);
    begun();
    await abort;
  });
  const outgoing = request({ socketPath, method: "POST", path: "/containers/web/start" });
  outgoing.on("error", () => {});
  outgoing.end();
  await begin;
  outgoing.destroy();
  await abort;
});

test("archives and images stream through, however large", async () => {
  const total = 32 * 1024 * 1024;
  let received = 0;
  fake.answers.set("images.load", async function* (from: Readable) {
    for await (const chunk of from) received += (chunk as Buffer).length;
    yield { stream: "Loaded image: a:b\n" };
  });
  const chunks = Readable.from(
    (function* () {
      for (let sent = 0; sent < total; sent += 65536) yield Buffer.alloc(65536);
    })(),
  );
  const { status, body } = await ask("POST", "/images/load", chunks);
  assert.deepEqual([status, received], [200, total]);
  assert.equal(body, '{"stream":"Loaded image: a:b\\n"}\r\n');

  fake.answers.set("images.save", async () => Readable.from([Buffer.alloc(total)]));
  const saved = await open("GET", "/images/get?names=a&names=b,c");
  assert.equal(saved.headers["content-type"], "application/x-tar");
  let bytes = 0;
  for await (const chunk of saved) bytes += (chunk as Buffer).length;
  assert.equal(bytes, total);
  const call = fake.calls.findLast(({ verb }) => verb === "images.save");
  assert.deepEqual(call?.args[0], ["a", "b", "c"]);
});

test("a failure in the middle of progress is a message, in the middle of bytes a cut", async () => {
  fake.answers.set("images.load", async function* () {
    yield { stream: "one" };
    throw new GantryError("corrupt", "layer is broken");
  });
  const { status, body } = await ask("POST", "/images/load", "x");
  const last = body.trim().split("\r\n").at(-1) ?? "";
  assert.deepEqual(
    [status, JSON.parse(last)],
    [200, { errorDetail: { message: "layer is broken" }, error: "layer is broken" }],
  );
  fake.answers.set("containers.export", async () => {
    const stream = new PassThrough();
    stream.write("some");
    setImmediate(() => stream.destroy(new Error("disk")));
    return stream;
  });
  await assert.rejects(ask("GET", "/containers/web/export"), /aborted/);
});

test("archives carry their stat in a header", async () => {
  const stat = { name: "f", size: 1, mode: 0o644, mtime: "2026-01-01T00:00:00Z", linkTarget: "" };
  fake.answers.set("containers.statPath", async () => stat);
  const head = await ask("HEAD", "/containers/web/archive?path=/f");
  const header = String(head.headers["x-docker-container-path-stat"]);
  assert.deepEqual(JSON.parse(Buffer.from(header, "base64").toString()), stat);
  fake.answers.set("containers.archiveOut", async () => ({ stat, tar: Readable.from(["tar"]) }));
  const out = await ask("GET", "/containers/web/archive?path=/f");
  assert.deepEqual([out.headers["content-type"], out.body], ["application/x-tar", "tar"]);
});

test("one connection serves many requests", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<unknown>();
  for (let i = 0; i < 5; i++) {
    const outgoing = request({ socketPath, path: i % 2 ? "/containers/json" : "/nope", agent });
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    ports.add(outgoing.socket);
    await readAll(response);
  }
  assert.equal(ports.size, 1);
  agent.destroy();
});

test("the stock docker client is served", async (t) => {
  const run = promisify(execFile);
  const docker = async (...args: string[]): Promise<string> =>
    (await run("docker", ["-H", `unix://${socketPath}`, ...args])).stdout;
  try {
    await run("docker", ["--version"]);
  } catch {
    return t.skip("no docker client on this machine");
  }
  assert.match(await docker("version"), /API version: +1\.55 \(minimum version 1\.24\)/);
  assert.match(await docker("info", "--format", "{{.Name}} {{.ServerVersion}}"), /^fake 0\.1\.0/);
  assert.match(await docker("ps"), /alpine:3\.20 +"sleep 60" .* Up \d+ seconds .*8080->80\/tcp/);
  assert.match(await docker("images"), /alpine +3\.20 +a{12}/);
  assert.match(await docker("inspect", "--format", "{{.HostConfig.Memory}}", "web"), /^1048576/);
});

test("closing ends streams at once and lets a request in flight answer", async () => {
  const other = createApi({ engine: fake.engine, serverVersion: "0.1.0", log: silentLogger });
  const door = other.server();
  const path = join(folder, "closing.sock");
  await new Promise<void>((resolve) => door.server.listen(path, resolve));
  fake.answers.set("containers.logs", async () => ({ tty: true, blocks: new PassThrough() }));
  let finish: () => void = () => {};
  fake.answers.set("containers.start", () => new Promise<void>((resolve) => (finish = resolve)));
  const call = (method: string, at: string) => {
    const outgoing = request({ socketPath: path, method, path: at, agent: false });
    outgoing.end();
    return once(outgoing, "response") as Promise<[IncomingMessage]>;
  };
  const [logs] = await call("GET", "/containers/web/logs?follow=1&stdout=1");
  const starting = call("POST", "/containers/web/start");
  while (fake.calls.at(-1)?.verb !== "containers.start") {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const closed = door.close();
  finish();
  const [started] = await starting;
  assert.equal(started.statusCode, 204);
  await assert.rejects(readAll(logs), /aborted/);
  await closed;
});
