// What watches a registry: audit log, webhooks, metrics, health. Nothing of it may delay a request,
// and what was queued must outlive the process.

import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GantryError, silentLogger } from "../../src/base/index.ts";
import type { RegistryEvent, RequestSummary } from "../../src/registry/contract.ts";
import {
  createAuditLog,
  createHealth,
  createMetrics,
  createWebhooks,
  healthRoutes,
  metricsRoute,
  openFileStore,
  startDebugServer,
} from "../../src/registry/index.ts";
import { DiskQueue } from "../../src/registry/observe/disk-queue.ts";
import { call, pushImage, startAccessRegistry } from "../support/registry-access-fixture.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-observe-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const request = {
  id: "r1",
  method: "PUT",
  url: new URL("http://registry:5000/v2/team/app/manifests/1?secret=1"),
  remoteAddress: "203.0.113.7",
  userAgent: "test",
  authorization: "Bearer secret",
};

function event(number: number, more: Partial<RegistryEvent> = {}): RegistryEvent {
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return {
    id: `e${number}`,
    at: new Date(0),
    action: "push",
    repository: "team/app",
    target: { mediaType, digest: `sha256:${"0".repeat(64)}`, size: 7, tag: "1" },
    request,
    subject: "ann",
    ...more,
  };
}

function summary(more: Partial<RequestSummary> = {}): RequestSummary {
  return {
    ...{ request, route: "manifest", status: 201, subject: "ann" },
    ...{ bytesIn: 10, bytesOut: 20, seconds: 0.5 },
    ...more,
  };
}

async function lines(file: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(file, "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

interface Receiver {
  url: string;
  bodies: { events: Record<string, unknown>[] }[];
  heads: IncomingMessage["headers"][];
  ids(): unknown[];
  until(count: number): Promise<void>;
  close(): Promise<void>;
}

/** Takes events; `status` says what it answers, or that it does not answer at all (0). */
async function receive(status: (attempt: number) => number = () => 200): Promise<Receiver> {
  const bodies: Receiver["bodies"] = [];
  const heads: IncomingMessage["headers"][] = [];
  let attempts = 0;
  let wake = () => {};
  const server: Server = createServer(async (incoming, response) => {
    let text = "";
    for await (const chunk of incoming) text += String(chunk);
    const code = status(attempts++);
    if (code === 0) return;
    response.writeHead(code).end();
    if (code >= 400) return;
    bodies.push(JSON.parse(text));
    heads.push(incoming.headers);
    wake();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    bodies,
    heads,
    ids: () => bodies.flatMap(({ events }) => events.map(({ id }) => id)),
    until: async (count) => {
      while (bodies.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

test("the audit log says who did what, from where, with which outcome, and no secrets", async () => {
  const file = join(folder, "audit", "audit.log");
  const audit = await createAuditLog({ file });
  audit.event!(event(1));
  audit.finished(summary());
  const other = { ...request, id: "r2", method: "GET" };
  audit.finished(summary({ request: other, status: 403, errorCode: "DENIED", subject: "eve" }));
  await audit.close();
  const [push, denied] = await lines(file);
  assert.deepEqual(
    { ...push, time: "", seconds: 0 },
    {
      ...{ time: "", id: "r1", user: "ann", address: "203.0.113.7", method: "PUT" },
      ...{ path: "/v2/team/app/manifests/1", route: "manifest", status: 201, outcome: "ok" },
      ...{ action: "push", repository: "team/app", tag: "1" },
      digest: `sha256:${"0".repeat(64)}`,
      ...{ bytesIn: 10, bytesOut: 20, seconds: 0, agent: "test" },
    },
  );
  assert.equal(denied!["outcome"], "denied");
  assert.equal(denied!["error"], "DENIED");
  assert.equal(denied!["user"], "eve");
  assert.doesNotMatch(await readFile(file, "utf8"), /secret/);
});

test("a line of audit cannot be forged by what a client sends", async () => {
  const file = join(folder, "forged.log");
  const audit = await createAuditLog({ file });
  const hostile = { ...request, userAgent: 'x"\n{"user":"root"}\n', id: "r" };
  audit.finished(summary({ request: hostile, subject: `a\n${"b".repeat(10_000)}` }));
  await audit.close();
  const all = await lines(file);
  assert.equal(all.length, 1);
  assert.ok(String(all[0]!["user"]).length < 600);
});

test("audit files rotate by size and old ones go", async () => {
  const file = join(folder, "rotated.log");
  const audit = await createAuditLog({ file, rotateBytes: 1000, keep: 2 });
  for (let number = 0; number < 20; number++) {
    audit.finished(summary({ request: { ...request, id: `r${number}` } }));
    await audit.reopen(); // each line a batch of its own
  }
  await audit.close();
  const names = (await readdir(folder)).filter((name) => name.startsWith("rotated"));
  assert.deepEqual(names.sort(), ["rotated.log", "rotated.log.1", "rotated.log.2"]);
  assert.equal((await lines(file)).at(-1)!["id"], "r19");
});

test("a file that was moved away is opened anew, losing no line", async () => {
  const file = join(folder, "moved.log");
  const audit = await createAuditLog({ file, rotateBytes: 0 });
  audit.finished(summary());
  await audit.reopen();
  await rename(file, `${file}.old`);
  audit.finished(summary({ request: { ...request, id: "r2" } }));
  await audit.reopen();
  audit.finished(summary({ request: { ...request, id: "r3" } }));
  await audit.close();
  const both = [...(await lines(`${file}.old`)), ...(await lines(file))];
  assert.deepEqual(
    both.map(({ id }) => id),
    ["r1", "r2", "r3"],
  );
});

test("what does not fit into the audit queue is dropped, counted and said", async () => {
  const file = join(folder, "dropped.log");
  const audit = await createAuditLog({ file, queueLinesMax: 3 });
  for (let number = 0; number < 10; number++) audit.finished(summary());
  assert.equal(audit.dropped, 7);
  await audit.close();
  const all = await lines(file);
  assert.equal(all.length, 4);
  assert.equal(all[3]!["dropped"], 7);
});

test("only changes and refusals are audited where that is asked for", async () => {
  const file = join(folder, "changes.log");
  const audit = await createAuditLog({ file, what: "changes" });
  const read = { ...request, method: "GET" };
  audit.finished(summary({ request: read, status: 200 }));
  audit.finished(summary({ request: read, status: 401 }));
  audit.finished(summary());
  await audit.close();
  assert.deepEqual(
    (await lines(file)).map(({ status }) => status),
    [401, 201],
  );
});

test("a webhook has the shape of docker's notifications", async () => {
  const receiver = await receive();
  const hooks = await createWebhooks({
    folder: join(folder, "shape"),
    source: "here",
    endpoints: [{ name: "one", url: receiver.url, headers: { Authorization: "Bearer hook" } }],
  });
  hooks.event(event(1));
  await receiver.until(1);
  await hooks.close();
  await receiver.close();
  assert.equal(
    receiver.heads[0]!["content-type"],
    "application/vnd.docker.distribution.events.v1+json",
  );
  assert.equal(receiver.heads[0]!["authorization"], "Bearer hook");
  const [sent] = receiver.bodies[0]!.events;
  const { instanceID, addr } = sent!["source"] as Record<string, string>;
  assert.ok(instanceID);
  assert.equal(addr, "here");
  const digest = `sha256:${"0".repeat(64)}`;
  assert.deepEqual(
    { ...sent, source: undefined },
    {
      ...{ id: "e1", timestamp: "1970-01-01T00:00:00.000Z", action: "push" },
      target: {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        ...{ size: 7, length: 7, digest, repository: "team/app", tag: "1" },
        url: `http://registry:5000/v2/team/app/manifests/${digest}`,
      },
      request: {
        ...{ id: "r1", addr: "203.0.113.7", host: "registry:5000" },
        ...{ method: "PUT", useragent: "test" },
      },
      actor: { name: "ann" },
      source: undefined,
    },
  );
});

test("events arrive in order over failures; ignored ones do not, and neighbours do not wait", async () => {
  const failing = await receive((attempt) => (attempt % 3 === 0 ? 200 : 503));
  const silent = await receive(() => 0);
  const hooks = await createWebhooks({
    folder: join(folder, "order"),
    endpoints: [
      { name: "silent", url: silent.url },
      {
        ...{ name: "failing", url: failing.url, backoffMs: 10, threshold: 2 },
        ignore: { actions: ["pull"], mediaTypes: ["application/octet-stream"] },
      },
    ],
  });
  for (let number = 0; number < 8; number++) hooks.event(event(number));
  hooks.event(event(100, { action: "pull" }));
  const { target } = event(0);
  hooks.event(event(101, { target: { ...target, mediaType: "application/octet-stream" } }));
  hooks.event(event(8));
  await failing.until(9);
  const states = hooks.states();
  await hooks.close();
  await Promise.all([failing.close(), silent.close()]);
  assert.deepEqual(
    failing.ids(),
    [0, 1, 2, 3, 4, 5, 6, 7, 8].map((number) => `e${number}`),
  );
  assert.ok(states.find(({ name }) => name === "failing")!.failures > 0);
  assert.equal(silent.bodies.length, 0);
  assert.equal(states.find(({ name }) => name === "silent")!.delivered, 0);
});

test("what was queued is delivered after a restart, once", async () => {
  const queue = join(folder, "restart");
  const options = (url: string) => ({
    folder: queue,
    endpoints: [{ name: "one", url, backoffMs: 10 }],
  });
  const dead = await receive(() => 500);
  const first = await createWebhooks(options(dead.url));
  for (let number = 0; number < 5; number++) first.event(event(number));
  await first.close();
  await dead.close();
  const alive = await receive();
  const second = await createWebhooks(options(alive.url));
  second.event(event(5));
  await alive.until(6);
  await second.close();
  const third = await createWebhooks(options(alive.url));
  third.event(event(6));
  await alive.until(7);
  await third.close();
  await alive.close();
  assert.deepEqual(
    alive.ids(),
    [0, 1, 2, 3, 4, 5, 6].map((number) => `e${number}`),
  );
});

test("a queue keeps its order over many segments and restarts, and leaves no files behind", async () => {
  const path = join(folder, "segments");
  const open = async () => {
    const queue = new DiskQueue(path, { bytesMax: 1e9, logger: silentLogger });
    await queue.open();
    return queue;
  };
  const line = (number: number) => JSON.stringify({ number, pad: "ü".repeat(50_000) });
  let queue = await open();
  let read = 0;
  for (let number = 0; number < 90; number++) {
    assert.ok(queue.add(line(number)));
    if (number % 3 === 0) {
      assert.equal(await queue.next(), line(read++));
      await queue.advance();
    }
    if (number % 20 === 0) {
      await queue.close();
      queue = await open();
    }
  }
  while (read < 90) {
    assert.equal(await queue.next(), line(read++));
    await queue.advance();
  }
  await queue.close();
  assert.equal(queue.bytes, 0);
  assert.ok((await readdir(path)).length <= 2);
});

test("a torn last line and a damaged cursor lose nothing else", async () => {
  const path = join(folder, "torn");
  const make = () => new DiskQueue(path, { bytesMax: 1e6, logger: silentLogger });
  const first = make();
  await first.open();
  first.add('"a"');
  first.add('"b"');
  await first.close();
  await appendFile(join(path, "000000000001.jsonl"), '"half');
  await writeFile(join(path, "cursor.json"), "{");
  const second = make();
  await second.open();
  second.add('"c"');
  for (const expected of ['"a"', '"b"', '"c"']) {
    assert.equal(await second.next(), expected);
    await second.advance();
  }
  await second.close();
});

test("a queue that is full drops the newest and counts them", async () => {
  const queue = new DiskQueue(join(folder, "full"), { bytesMax: 20, logger: silentLogger });
  await queue.open();
  assert.deepEqual(
    ['"1234567"', '"1234567"', '"1234567"'].map((line) => queue.add(line)),
    [true, true, false],
  );
  assert.equal(queue.dropped, 1);
  await queue.close();
});

test("endpoints that cannot work are refused at the start", async () => {
  const make = (endpoint: object) =>
    createWebhooks({ folder: join(folder, "bad"), endpoints: [endpoint as never] });
  await assert.rejects(make({ name: "../x", url: "http://a/" }), /the name is/);
  await assert.rejects(make({ name: "x", url: "ftp://a/" }), /is not an http or https address/);
  await assert.rejects(
    make({ name: "x", url: "http://a/", headers: { "a b": "c" } }),
    /bad headers/,
  );
});

test("metrics count requests by route, and never by what a stranger may choose", async () => {
  const metrics = createMetrics({ defaults: false });
  for (let number = 0; number < 50; number++) {
    const strange = { ...request, method: `M${number}`, url: new URL(`http://x/v2/r${number}/`) };
    metrics.finished(summary({ request: strange, subject: `user${number}` }));
  }
  metrics.finished(summary({ status: 404, errorCode: "MANIFEST_UNKNOWN" }));
  metrics.event!(event(1));
  metrics.cacheLookup("blob", "hit");
  metrics.collected({ blobs: 2, bytes: 100, seconds: 3 });
  metrics.gauge("gantry_registry_waiting", "Waiting", ["name"], () => [
    { labels: { name: "one" }, value: 5 },
  ]);
  const text = await metrics.text();
  assert.match(text, /requests_total\{route="manifest",method="other",status="201"\} 50\n/);
  assert.match(text, /requests_total\{route="manifest",method="PUT",status="404"\} 1\n/);
  assert.match(text, /errors_total\{code="MANIFEST_UNKNOWN"\} 1\n/);
  assert.match(text, /events_total\{action="push"\} 1\n/);
  assert.match(text, /cache_lookups_total\{kind="blob",result="hit"\} 1\n/);
  assert.match(text, /gc_removed_bytes_total 100\n/);
  assert.match(text, /gantry_registry_waiting\{name="one"\} 5\n/);
  assert.doesNotMatch(text, /user1|M1\b|r1\b/);
});

test("a store that is watched works as before; its failures are counted, misses are not", async () => {
  const metrics = createMetrics({ defaults: false });
  const store = metrics.instrumentStore(await openFileStore(join(folder, "store")), "file");
  await store.write("a/b", Buffer.from("x"));
  assert.equal((await store.read("a/b")).toString(), "x");
  await assert.rejects(store.read("a/none"), { kind: "not-found" });
  const broken = metrics.instrumentStore(
    {
      ...store,
      stat: async () => {
        throw new GantryError("unavailable", "no disk");
      },
    } as typeof store,
    "broken",
  );
  await assert.rejects(broken.stat("a"), /no disk/);
  await store.close();
  const text = await metrics.text();
  assert.match(text, /store_seconds_count\{driver="file",operation="read"\} 2\n/);
  const error = /store_errors_total\{driver="broken",operation="stat",kind="unavailable"\} 1\n/;
  assert.match(text, error);
  assert.doesNotMatch(text, /store_errors_total\{driver="file"/);
});

test("the private address has metrics and health; a store that hangs makes it not ready", async () => {
  const metrics = createMetrics();
  let answers = true;
  const store = {
    stat: () => (answers ? Promise.resolve(undefined) : new Promise<undefined>(() => {})),
  };
  let readOnly = false;
  const start = () => {
    const health = createHealth({ store, readOnly: () => readOnly, deadlineMs: 20 });
    return startDebugServer({ host: "127.0.0.1", port: 0 }, { metrics, health });
  };
  const debug = await start();
  const scraped = await call(debug, "/metrics");
  assert.match(scraped.headers["content-type"]!, /^text\/plain; version=0\.0\.4/);
  assert.match(scraped.text, /process_resident_memory_bytes \d/);
  assert.equal((await call(debug, "/healthz")).text, "ok\n");
  readOnly = true;
  const ready = await call(debug, "/readyz");
  assert.equal(ready.status, 200);
  assert.deepEqual(ready.json, { status: "ready", readOnly: true, checks: { store: "ok" } });
  assert.equal((await call(debug, "/readyz", { method: "POST" })).status, 405);
  assert.equal((await call(debug, "/other")).status, 404);
  answers = false;
  const second = await start();
  const stuck = await call(second, "/readyz");
  assert.equal(stuck.status, 503);
  assert.equal(stuck.json.checks.store, "no answer within 20 ms");
  assert.equal((await call(second, "/healthz")).status, 200);
  await Promise.all([debug.close(), second.close()]);
});

test("a whole registry tells its observers of pushes, pulls, mounts, deletions and refusals", async () => {
  const receiver = await receive();
  const file = join(folder, "whole.log");
  const metrics = createMetrics({ defaults: false });
  const audit = await createAuditLog({ file });
  const hooks = await createWebhooks({
    folder: join(folder, "whole"),
    endpoints: [{ name: "one", url: receiver.url }],
  });
  const health = createHealth({ store: { stat: async () => undefined } });
  const extraRoutes = healthRoutes(health);
  metrics.watchWebhooks(hooks);
  metrics.watchAudit(audit);
  const registry = await startAccessRegistry("token", {
    observers: [metrics, audit, hooks],
    registry: { wrapContent: (content) => metrics.instrumentContent(content) },
  });
  try {
    const digest = await pushImage(registry, "team/app", "1", { user: "ann" });
    await call(registry, "/v2/team/app/manifests/1", { user: "bob" });
    await call(registry, "/v2/team/app/manifests/1", { user: "eve" });
    await call(registry, "/token", { user: ["eve", "wrong"] });
    await call(registry, `/v2/team/app/manifests/${digest}`, { method: "DELETE", user: "ann" });
  } finally {
    await registry.close(); // closes the observers too
  }
  assert.equal(extraRoutes.length, 2);
  const all = await lines(file);
  const find = (status: number, user: string) =>
    all.find((line) => line["status"] === status && line["user"] === user);
  assert.equal(find(201, "ann")?.["outcome"], "ok");
  assert.equal(find(200, "bob")?.["action"], "pull");
  assert.equal(find(403, "eve")?.["error"], "DENIED");
  assert.equal(find(401, "eve")?.["path"], "/token");
  assert.equal(find(202, "ann")?.["action"], "delete");
  const text = await metrics.text();
  assert.match(text, /events_total\{action="push"\} \d/);
  assert.match(text, /uploads_in_flight 0\n/);
  assert.match(text, /webhook_failed_attempts\{endpoint="one"\} 0\n/);
  assert.match(text, /audit_dropped_lines 0\n/);
  const again = await createWebhooks({
    folder: join(folder, "whole"),
    endpoints: [{ name: "one", url: receiver.url }],
  });
  again.event(event(99));
  while (!receiver.ids().includes("e99")) await receiver.until(receiver.bodies.length + 1);
  await again.close();
  await receiver.close();
  const sent = receiver.bodies.flatMap(({ events }) => events);
  const actions = sent.map(({ action, actor }) => `${action} ${(actor as { name: string }).name}`);
  for (const wanted of ["push ann", "pull bob", "delete ann"]) {
    assert.ok(actions.includes(wanted), `${wanted} in ${actions}`);
  }
});

test("metrics on the registry's own address are for who may do everything", async () => {
  const metrics = createMetrics({ defaults: false });
  const registry = await startAccessRegistry("htpasswd");
  const { gatekeeper } = registry.access;
  const own = await startAccessRegistry("htpasswd", {
    registry: { gatekeeper, extraRoutes: [metricsRoute(metrics, gatekeeper)] },
  });
  try {
    assert.equal((await call(own, "/metrics")).status, 401);
    assert.equal((await call(own, "/metrics", { user: "ann" })).status, 403);
    assert.equal((await call(own, "/metrics", { user: "root" })).status, 200);
  } finally {
    await own.close();
    await registry.close();
  }
});
