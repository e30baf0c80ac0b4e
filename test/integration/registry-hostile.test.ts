// The registry under clients that are wrong, cut off, many, or killed with it: bad input is never a
// 500, nothing half-written is visible, and the retry completes.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { createContent, openFileStore } from "../../src/registry/index.ts";
import { bytesOf, imageOf, pullWhole, randomLayer } from "../support/registry-content.ts";
import { RegistryPlace, someBlob } from "../support/registry-http.ts";

const octets = { "Content-Type": "application/octet-stream" };
/** The server says "continue" when it has begun to read, so that nobody has to guess. */
const awaited = { Expect: "100-continue" };

test("whatever is asked, the answer is never a 500", async () => {
  await using registry = await RegistryPlace.open();
  await registry.pushImage("a/b", "v1", [someBlob]);
  await registry.pushImage("not/asked", "v1", [someBlob]);
  const upload = await registry.startUpload("a/b");
  const word = fc.oneof(
    fc.constantFrom("a/b", "a", "..", "%2e%2e", "%", "%00", "_layers", "", "v1", "sha256:", "🎈"),
    fc.constantFrom(someBlob.digest, "sha512:00", upload.split("/").at(-1)!, "uploads", "list"),
    fc.string({ maxLength: 12 }),
  );
  const path = fc
    .tuple(word, fc.constantFrom("manifests", "blobs", "blobs/uploads", "tags", "referrers"), word)
    .map(([name, kind, last]) => `/v2/${name}/${kind}/${last}`);
  const query = fc.dictionary(
    fc.constantFrom("n", "last", "digest", "mount", "from", "tag", "artifactType", "ns"),
    word,
    { maxKeys: 3 },
  );
  const headers = fc.dictionary(
    fc.constantFrom(
      "Range",
      "Content-Range",
      "If-Range",
      "If-None-Match",
      "Content-Type",
      "Accept",
    ),
    fc.oneof(
      fc.constantFrom(
        "bytes=0-",
        "bytes=-1",
        "bytes=9-1",
        "0-0",
        "5-2",
        "99999999999999999-1",
        "*",
      ),
      fc.string({ maxLength: 20 }).map((text) => text.replace(/[^\x20-\x7e]/g, "")),
    ),
    { maxKeys: 3 },
  );
  const body = fc.oneof(
    fc.constant(""),
    fc.string({ maxLength: 64 }),
    fc.json({ maxDepth: 3 }),
    fc.record({ schemaVersion: fc.constantFrom(1, 2), layers: fc.jsonValue() }).map(stringify),
    fc.record({ schemaVersion: fc.constant(2), config: fc.jsonValue() }).map(stringify),
    fc.record({ schemaVersion: fc.constant(2), manifests: fc.jsonValue() }).map(stringify),
    fc.record({ schemaVersion: fc.constant(2), subject: fc.jsonValue() }).map(stringify),
  );
  const method = fc.constantFrom(
    "GET",
    "HEAD",
    "PUT",
    "POST",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "LINK",
  );
  await fc.assert(
    fc.asyncProperty(method, path, query, headers, body, async (...asked) => {
      const status = await raw(registry.base, ...asked);
      assert.ok(status >= 200 && status < 500, `${status} to ${JSON.stringify(asked)}`);
    }),
    { numRuns: 1_200 },
  );
  await pullWhole(registry.server.content, "not/asked", "v1");
});

const stringify = (value: unknown): string => JSON.stringify(value);

/** A request as it is, without a client that corrects it; the status. */
async function raw(
  base: string,
  method: string,
  path: string,
  query: Record<string, string>,
  headers: Record<string, string>,
  body: string,
): Promise<number> {
  const target = `${path}?${new URLSearchParams(query)}`.replace(/[^\x21-\x7e]/g, "%F0");
  const sent = request(base, { method, path: target, headers, agent: false });
  const answer = new Promise<number>((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
      response.on("error", reject);
    });
  });
  sent.end(body);
  return await answer;
}

test("text that is no HTTP ends its own connection only", async () => {
  await using registry = await RegistryPlace.open();
  const port = Number(new URL(registry.base).port);
  for (const text of [
    "\0\0\0",
    "GET\r\n\r\n",
    `GET / HTTP/1.1\r\nX: ${"y".repeat(70_000)}\r\n\r\n`,
  ]) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.end(text);
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  }
  assert.equal((await registry.ask("GET", "/v2/")).status, 200);
});

test("an upload that is cut goes on where it stopped", async () => {
  await using registry = await RegistryPlace.open();
  const data = randomBytes(900_000);
  const blob = bytesOf(data);
  const location = await registry.startUpload("cut");
  for (let attempt = 0; attempt < 10; attempt++) {
    const size = await reached(registry, location);
    const end = Math.min(data.length, size + 1 + Math.floor(Math.random() * 200_000));
    await sendAndBreak(registry.base + location, data.subarray(size, end), {
      "Content-Range": `${size}-${data.length - 1}`,
      "Content-Length": data.length - size,
    });
    assert.equal((await registry.ask("HEAD", `/v2/cut/blobs/${blob.digest}`)).status, 404);
  }
  // The server may not have heard yet that the last sender is gone: it says where to go on.
  for (let status = 416; status !== 201; ) {
    const size = await reached(registry, location);
    const done = await registry.ask("PUT", `${location}?digest=${blob.digest}`, {
      body: data.subarray(size),
      headers: { ...octets, "Content-Range": `${size}-${data.length - 1}` },
    });
    status = done.status;
    assert.ok(status === 201 || status === 416, `${status} ${done.body}`);
  }
  const found = await registry.ask("GET", `/v2/cut/blobs/${blob.digest}`);
  assert.ok(found.body.equals(data));
});

async function reached(registry: RegistryPlace, location: string): Promise<number> {
  const { headers } = await registry.ask("GET", location);
  const last = Number(headers.get("range")!.split("-")[1]);
  return last === 0 ? 0 : last + 1;
}

/** Promises more than it sends, then drops the connection. */
async function sendAndBreak(
  url: string,
  part: Buffer,
  headers: Record<string, string | number>,
): Promise<void> {
  const sent = request(url, { method: "PATCH", agent: false, headers });
  sent.on("error", () => {});
  await new Promise<void>((resolve) => sent.write(part, () => resolve()));
  sent.destroy();
  await new Promise((resolve) => sent.once("close", resolve));
}

test("two who send to one upload at once cannot mix their bytes", async () => {
  await using registry = await RegistryPlace.open();
  const good = randomBytes(400_000);
  const evil = randomBytes(400_000);
  const { digest } = bytesOf(good);
  const location = await registry.startUpload("race");
  const send = (body: Buffer) => registry.ask("PATCH", location, { body, headers: octets });
  const outcomes = await Promise.all([send(good), send(evil), send(good)]);
  assert.equal(outcomes.filter(({ status }) => status === 202).length >= 1, true);
  const done = await registry.ask("PUT", `${location}?digest=${digest}`);
  const found = await registry.ask("GET", `/v2/race/blobs/${digest}`);
  if (done.status === 201) assert.ok(found.body.equals(good));
  else assert.equal(found.status, 404);
});

test("500 pulls at once all succeed", async () => {
  await using registry = await RegistryPlace.open();
  const layer = bytesOf(randomBytes(60_000));
  const manifest = await registry.pushImage("many", "v1", [layer]);
  const pulls = Array.from({ length: 500 }, async () => {
    const found = await registry.ask("GET", "/v2/many/manifests/v1");
    assert.equal(found.headers.get("docker-content-digest"), manifest.digest);
    const blob = await registry.ask("GET", `/v2/many/blobs/${layer.digest}`);
    assert.equal(bytesOf(blob.body).digest, layer.digest);
  });
  await Promise.all(pulls);
});

test("closing lets a transfer end and takes no new connection", async () => {
  const registry = await RegistryPlace.open();
  const location = await registry.startUpload("leave");
  const data = randomBytes(200_000);
  const { digest } = bytesOf(data);
  const url = `${registry.base}${location}?digest=${digest}`;
  const headers = { ...octets, "Content-Length": data.length, ...awaited };
  const sent = request(url, { method: "PUT", agent: false, headers });
  const answered = once(sent, "response");
  await once(sent.once("error", assert.fail), "continue");
  sent.write(data.subarray(0, 100_000));
  const closing = registry.server.close({ deadlineMs: 60_000 });
  await assert.rejects(fetch(`${registry.base}/v2/`));
  sent.end(data.subarray(100_000));
  const [answer] = (await answered) as [IncomingMessage];
  answer.resume();
  assert.equal(answer.statusCode, 201);
  await closing;
  await rm(registry.root, { recursive: true });
});

test("a transfer that does not end is cut at the deadline", async () => {
  const registry = await RegistryPlace.open();
  const location = await registry.startUpload("leave");
  const headers = { ...octets, ...awaited };
  const sent = request(registry.base + location, { method: "PATCH", agent: false, headers });
  sent.flushHeaders();
  await once(sent, "continue");
  const broken = once(sent, "error");
  sent.write("some");
  await registry.server.close({ deadlineMs: 50 });
  await broken;
  await rm(registry.root, { recursive: true });
});

test("a registry that is killed during pushes shows only whole images, and goes on", async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-registry-"));
  const images = Array.from({ length: 6 }, () => imageOf([randomLayer(400_000), randomLayer()]));
  let child = await serve(root);
  const pushes = images.map(({ config }, n) =>
    pushThrough(() => child.base, `k/${n}`, [config, randomLayer(2_000_000)]),
  );
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 150));
    child.process.kill("SIGKILL");
    await once(child.process, "exit");
    await checkWhole(root);
    child = await serve(root);
  }
  await Promise.all(pushes);
  child.process.kill("SIGKILL");
  await once(child.process, "exit");
  assert.equal(await checkWhole(root), images.length);
  await rm(root, { recursive: true });
});

async function serve(root: string): Promise<{ process: ChildProcess; base: string }> {
  const door = new URL("../../src/registry/index.ts", import.meta.url).pathname;
  const script = `
    const { createRegistry, openFileStore } = await import(${JSON.stringify(door)});
    const registry = createRegistry({ store: await openFileStore(${JSON.stringify(root)}) });
    console.log((await registry.listen({ host: "127.0.0.1", port: 0 })).port);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [port] = await once(child.stdout, "data");
  return { process: child, base: `http://127.0.0.1:${String(port).trim()}` };
}

/** Pushes as a client that tries again until it is done. */
async function pushThrough(
  base: () => string,
  name: string,
  [config, layer]: [ReturnType<typeof bytesOf>, ReturnType<typeof bytesOf>],
): Promise<void> {
  const { manifest } = imageOf([layer]);
  for (let attempt = 0; attempt < 2000; attempt++) {
    try {
      for (const { digest, data } of [config, layer]) {
        const start = await fetch(`${base()}/v2/${name}/blobs/uploads/`, { method: "POST" });
        const url = `${base()}${start.headers.get("location")}?digest=${digest}`;
        const done = await fetch(url, { method: "PUT", body: data });
        if (done.status !== 201) throw new Error(`${done.status}`);
      }
      const url = `${base()}/v2/${name}/manifests/v1`;
      const put = await fetch(url, { method: "PUT", body: manifest.data });
      if (put.status === 201) return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  throw new Error(`${name} could not be pushed`);
}

/** Every tag there is leads to an image whose every byte is right; how many there are. */
async function checkWhole(root: string): Promise<number> {
  const content = createContent(await openFileStore(root));
  let images = 0;
  for (const name of (await content.repositories()).names) {
    for (const tag of (await content.tags(name)).tags) {
      await pullWhole(content, name, tag);
      images++;
    }
  }
  return images;
}

test("a manifest that only trickles in is given up, its connection with it", async () => {
  await using registry = await RegistryPlace.open({ limits: { idleMsMax: 1_000 } });
  const socket = connect(Number(new URL(registry.base).port), "127.0.0.1");
  let answer = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    answer += text;
  });
  socket.on("error", () => {});
  socket.write("PUT /v2/a/b/manifests/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n");
  socket.write("Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n");
  let sent = 0;
  const drip = setInterval(() => {
    if (socket.writable) socket.write(" ", () => sent++);
  }, 50);
  try {
    await once(socket, "close");
  } finally {
    clearInterval(drip);
    socket.destroy();
  }
  assert.ok(sent < 4000);
  // A machine that stood still for longer has only closed it.
  if (answer !== "") assert.match(answer, /^HTTP\/1\.1 408 .*did not come within 1 s/s);
  assert.equal((await registry.ask("GET", "/v2/a/b/manifests/slow")).status, 404);
});
