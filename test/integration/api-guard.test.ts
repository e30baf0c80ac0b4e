// Whoever guards the API sees each request before its handler and each answer before its client,
// and may refuse both; and what a client that goes away leaves is no failure of the daemon.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { after, before, beforeEach, test } from "node:test";
import { createApi, type SeenAnswer, type SeenRequest } from "../../src/api/index.ts";
import { createLogger, GantryError } from "../../src/base/index.ts";
import { fakeEngine } from "../fakes/engine.ts";

const fake = fakeEngine();
const lines: string[] = [];
let heard: (line: string) => void = () => {};
const log = createLogger({
  level: "debug",
  write: (line) => {
    lines.push(line);
    heard(line);
  },
});
const seen: { request: SeenRequest; answer?: SeenAnswer }[] = [];
let isActive = true;
let refuse: { request?: string; answer?: string } = {};
const api = createApi({
  engine: fake.engine,
  serverVersion: "0.1.0",
  log,
  guard: {
    isActive: () => isActive,
    request: async (shown) => {
      seen.push({ request: shown });
      if (refuse.request) throw new GantryError("forbidden", refuse.request);
    },
    answer: async (shown, answer) => {
      seen.find((one) => one.request === shown)!.answer = answer;
      if (refuse.answer) throw new GantryError("forbidden", refuse.answer);
    },
  },
});
const door = api.server();
let folder = "";
let socketPath = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-guard-"));
  socketPath = join(folder, "api.sock");
  await new Promise<void>((resolve) => door.server.listen(socketPath, resolve));
});
after(async () => {
  await door.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  seen.length = 0;
  lines.length = 0;
  isActive = true;
  refuse = {};
});

async function ask(
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = { "Content-Type": "application/json" },
): Promise<{ status: number; body: string }> {
  const outgoing = request({ socketPath, method, path, headers, agent: false });
  const closed = new Promise((resolve) => outgoing.once("close", resolve));
  const failed = new Promise<never>((_, reject) => outgoing.on("error", reject));
  outgoing.end(body);
  const [response] = await Promise.race([once(outgoing, "response"), failed]);
  const text = await Promise.race([readAll(response), failed]);
  await Promise.race([closed, failed]); // what comes after the answer is this test's, too
  return { status: response.statusCode, body: text };
}
const create = (size: number): string =>
  JSON.stringify({ Image: "alpine", Env: [`A=${"x".repeat(size)}`] });

test("a guard sees the body of a request and of its answer", async () => {
  const { status } = await ask("POST", "/v1.44/containers/create?name=a", create(10));
  assert.equal(status, 201);
  const [{ request: shown, answer }] = seen as [Required<(typeof seen)[0]>];
  assert.deepEqual([shown.method, shown.uri], ["POST", "/v1.44/containers/create?name=a"]);
  assert.equal(shown.body?.toString(), create(10));
  assert.deepEqual([shown.user, shown.peerCertificates], ["", []]);
  assert.equal(answer.status, 201);
  assert.match(String(answer.body), /"Id":"ccc/);
  const call = fake.calls.findLast(({ verb }) => verb === "containers.create");
  assert.match(JSON.stringify(call?.args), /A=xxxxxxxxxx/);
});

test("a long body is shown whole, one that no handler would read is refused unseen", async () => {
  const body = create(1_200_000);
  assert.equal((await ask("POST", "/containers/create", body)).status, 201);
  assert.equal(seen[0]?.request.body?.length, body.length);
  const call = fake.calls.findLast(({ verb }) => verb === "containers.create");
  assert.ok(JSON.stringify(call?.args).length > 1_200_000);
  const count = fake.calls.length;
  assert.equal((await ask("POST", "/containers/create", create(9 << 20))).status, 400);
  assert.deepEqual([seen.length, fake.calls.length], [1, count]);
});

test("passwords for registries are not shown", async () => {
  await ask("POST", "/auth", '{"username":"u","password":"p"}');
  assert.equal(seen[0]?.request.body, undefined);
});

test("a refused request reaches no handler, a refused answer no client", async () => {
  const before = fake.calls.length;
  refuse = { request: "authorization denied by plugin x: no" };
  assert.deepEqual(await ask("GET", "/containers/json"), {
    status: 403,
    body: '{"message":"authorization denied by plugin x: no"}\n',
  });
  assert.equal(fake.calls.length, before);
  refuse = { answer: "not for you" };
  assert.deepEqual(await ask("GET", "/containers/json"), {
    status: 403,
    body: '{"message":"not for you"}\n',
  });
  let returned = false;
  const iterator = {
    next: () => Promise.resolve({ done: true as const, value: undefined }),
    return: async () => {
      returned = true;
      return { done: true as const, value: undefined };
    },
  };
  const blocks = { [Symbol.asyncIterator]: () => iterator };
  fake.answers.set("containers.logs", async () => ({ tty: true, blocks }));
  assert.equal((await ask("GET", "/containers/web/logs?stdout=1")).status, 403);
  assert.ok(returned);
});

test("failures and streams are shown too, and attach passes", async () => {
  assert.equal((await ask("GET", "/containers/nope/json")).status, 404);
  assert.equal(seen[0]?.answer?.status, 404);
  assert.match(String(seen[0]?.answer?.body), /No such container/);
  const blocks = Readable.from([Buffer.from("hello\n")]);
  fake.answers.set("containers.logs", async () => ({ tty: true, blocks }));
  assert.equal((await ask("GET", "/containers/web/logs?stdout=1")).body, "hello\n");
  assert.equal(seen[1]?.answer?.body, undefined);
  refuse = { request: "no attach" };
  const headers = { Connection: "Upgrade", Upgrade: "tcp" };
  assert.equal((await ask("POST", "/containers/web/attach?stream=1", "", headers)).status, 403);
});

test("a guard sees the path that is routed, however it was escaped", async () => {
  assert.equal(
    (await ask("POST", "/v1.44/cont%61iners%2F%63reate?name=%61", create(1))).status,
    201,
  );
  assert.equal(seen.at(-1)?.request.uri, "/v1.44/containers/create?name=%61");
  await ask("GET", "/containers/a%3Fb%25%23/json");
  assert.equal(seen.at(-1)?.request.uri, "/containers/a%3Fb%25%23/json");
  await ask("POST", "/%61uth", JSON.stringify({ username: "me", password: "secret" }));
  assert.equal(seen.at(-1)?.request.body, undefined);
});

test("what is told of requests holds no build arguments", async () => {
  isActive = false;
  await ask("POST", "/v1.44/build?t=x&buildargs=%7B%22TOKEN%22%3A%22secret%22%7D&q=1", "", {
    "Content-Type": "application/x-tar",
  });
  assert.ok(
    lines.some((line) => line.includes("t=x&buildargs=*****&q=1")),
    lines.join(),
  );
  assert.ok(!lines.some((line) => line.includes("secret")));
});

test("a guard that nobody uses is not asked", async () => {
  isActive = false;
  assert.equal((await ask("GET", "/containers/json")).status, 200);
  assert.equal(seen.length, 0);
});

test("a client that goes away is no error, and requests are told of at debug", async () => {
  const started = Promise.withResolvers<void>();
  const told = Promise.withResolvers<string>();
  heard = (line) => {
    if (line.includes("broken")) told.resolve(line);
  };
  fake.answers.set("containers.inspect", async (_ref: string, o: { signal: AbortSignal }) => {
    started.resolve();
    await once(o.signal, "abort");
    throw new Error("the pipe is broken");
  });
  isActive = false;
  const outgoing = request({ socketPath, path: "/v1.44/containers/web/json", agent: false });
  outgoing.on("error", () => {});
  outgoing.end();
  await started.promise;
  const open = api.requests().map(({ method, url }) => `${method} ${url}`);
  assert.ok(open.includes("GET /v1.44/containers/web/json"));
  outgoing.destroy();
  assert.match(await told.promise, /level=debug/);
  assert.ok(lines.some((line) => line.includes("handling GET request")));
  assert.ok(lines.every((line) => !line.includes("level=error")));
});
