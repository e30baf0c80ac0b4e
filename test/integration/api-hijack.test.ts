// Hijacked connections over real sockets: upgrade and plain, half-close, bytes that come early,
// back-pressure, and what follows on the same connection.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { createApi } from "../../src/api/index.ts";
import { GantryError, silentLogger } from "../../src/base/index.ts";
import { fakeEngine } from "../fakes/engine.ts";

const fake = fakeEngine();
const api = createApi({ engine: fake.engine, serverVersion: "0.1.0", log: silentLogger }).server();
let folder = "";
let path = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-api-"));
  path = join(folder, "api.sock");
  await new Promise<void>((resolve) => api.server.listen(path, resolve));
});
after(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

/** A raw client that remembers everything it received. */
function client(): { socket: Socket; text(): string; until(wanted: RegExp): Promise<string> } {
  const socket = connect({ path, allowHalfOpen: true });
  let received = "";
  const waiting: { wanted: RegExp; resolve: (text: string) => void }[] = [];
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    for (const one of waiting) if (one.wanted.test(received)) one.resolve(received);
  });
  return {
    socket,
    text: () => received,
    until: (wanted) =>
      wanted.test(received)
        ? Promise.resolve(received)
        : new Promise((resolve) => waiting.push({ wanted, resolve })),
  };
}
const ended = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => socket.once("end", () => resolve(undefined)));

const ATTACH =
  "POST /v1.50/containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n";
const EXEC = "POST /v1.50/exec/e/start HTTP/1.1\r\nHost: d\r\n";
const JSON_BODY = "Content-Type: application/json\r\n";
const UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

test("attach with Upgrade answers 101 and carries bytes both ways", async () => {
  const { socket, until } = client();
  socket.write(`${ATTACH}${UPGRADE}Content-Length: 0\r\n\r\nearly `);
  const text = await until(/early /);
  assert.match(text, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  assert.match(text, /Content-Type: application\/vnd\.docker\.multiplexed-stream\r\n/);
  assert.match(text, /Connection: Upgrade\r\nUpgrade: tcp\r\n/);
  socket.write("later");
  await until(/early later$/);
  const end = ended(socket);
  socket.end();
  await end;
});

test("attach without Upgrade answers 200 and raw bytes", async () => {
  const { socket, until } = client();
  socket.write(`${ATTACH}\r\nGET / HTTP/1.1 is what the container reads`);
  const text = await until(/container reads$/);
  assert.match(
    text,
    /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n/,
  );
  const end = ended(socket);
  socket.end();
  await end;
});

test("a connection is hijacked after ordinary requests on it", async () => {
  const { socket, until } = client();
  socket.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  await until(/OK$/);
  socket.write(`${ATTACH}\r\n`);
  await until(/raw-stream/);
  socket.write("stdin");
  await until(/stdin$/);
  socket.destroy();
});

test("exec start reads its JSON body and then the stream, from one packet", async () => {
  const { socket, until } = client();
  const body = JSON.stringify({ Detach: false, Tty: true });
  const head = `${EXEC}${UPGRADE}${JSON_BODY}`;
  socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}first`);
  const text = await until(/first$/);
  assert.match(text, /Content-Type: application\/vnd\.docker\.raw-stream/);
  assert.deepEqual(
    fake.calls.findLast((call) => call.verb === "containers.execStart")?.args[0],
    "e",
  );
  socket.destroy();
});

test("exec start reads a body that comes in pieces", async () => {
  const { socket, until } = client();
  const head = "POST /exec/e/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";
  socket.write(`${head}Content-Length: 16\r\n\r\n{"Tty":`);
  await new Promise((resolve) => setImmediate(resolve));
  socket.write("false   }hello");
  await until(/hello$/);
  socket.destroy();
});

test("a detached exec answers 200 and leaves the connection usable", async () => {
  const { socket, until } = client();
  const body = '{"Detach":true}';
  const head = "POST /exec/e/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";
  socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
  await until(/HTTP\/1\.1 200 OK\r\nContent-Length: 0/);
  socket.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  await until(/OK$/);
  socket.write(`${ATTACH}\r\nagain`);
  await until(/again$/);
  socket.destroy();
});

test("exec start reads a chunked JSON body before the upgraded stream", async () => {
  const { socket, until } = client();
  socket.write(`${EXEC}${UPGRADE}${JSON_BODY}Transfer-Encoding: chunked\r\n\r\n`);
  socket.write('f\r\n{"Tty": false }\r\n0\r\n\r\nearly ');
  const text = await until(/early $/);
  assert.match(text, /^HTTP\/1\.1 101 UPGRADED/);
  socket.write("later");
  await until(/early later$/);
  const end = ended(socket);
  socket.end();
  await end;
});

test("a chunked body without Upgrade is decoded and becomes stdin", async () => {
  const { socket, until } = client();
  socket.write(`${ATTACH}Transfer-Encoding: chunked\r\n\r\n`);
  await until(/raw-stream/);
  socket.write("5\r\nhello\r\n0\r\n\r\n");
  const text = await until(/hello$/);
  assert.doesNotMatch(text, /Transfer-Encoding/);
  socket.destroy();
});

test("the container's end closes our half and the client may still hang up", async () => {
  fake.answers.set("containers.attach", async () => {
    const stream = new PassThrough();
    stream.end("bye");
    return { tty: true, stream };
  });
  const { socket, text } = client();
  socket.write(`${ATTACH}${UPGRADE}\r\n`);
  await ended(socket);
  assert.match(text(), /\r\n\r\nbye$/);
  socket.end();
});

test("a client's half-close ends stdin while output goes on", async () => {
  let stdin = "";
  fake.answers.set("containers.attach", async () => {
    const stream: Duplex = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        stdin += chunk;
        done();
      },
      final(done) {
        stream.push("after the end of stdin");
        stream.push(null);
        done();
      },
    });
    return { tty: true, stream };
  });
  const { socket, text } = client();
  socket.end(`${ATTACH}${UPGRADE}\r\ninput`);
  await ended(socket);
  assert.equal(stdin, "input");
  assert.match(text(), /after the end of stdin$/);
});

test("a client that goes away destroys the stream", async () => {
  const closed = new Promise<void>((resolve) => {
    fake.answers.set("containers.attach", async () => {
      const stream = new PassThrough();
      stream.on("close", () => resolve());
      return { tty: true, stream };
    });
  });
  const { socket, until } = client();
  socket.write(`${ATTACH}${UPGRADE}\r\n`);
  await until(/raw-stream/);
  socket.destroy();
  await closed;
});

test("a slow reader holds back the container, and nothing is lost", async () => {
  const total = 64 * 1024 * 1024;
  let produced = 0;
  fake.answers.set("containers.attach", async () => {
    const stream = new Duplex({
      read() {
        const chunk = Buffer.alloc(Math.min(65536, total - produced), 120);
        produced += chunk.length;
        this.push(chunk.length > 0 ? chunk : null);
      },
      write: (_chunk, _encoding, done) => done(),
    });
    return { tty: true, stream };
  });
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(`${ATTACH}${UPGRADE}\r\n`);
  await new Promise((resolve) => socket.once("readable", resolve));
  assert.ok(produced < total / 2, `${produced} bytes were produced for a client that reads none`);
  let received = 0;
  for await (const chunk of socket) received += (chunk as Buffer).length;
  assert.equal(produced, total);
  assert.ok(received > total && received < total + 1024);
});

test("an error before the hijack is an ordinary JSON answer", async () => {
  fake.answers.set("containers.attach", async () => {
    throw new GantryError("not-found", "No such container: web");
  });
  const { socket, text } = client();
  socket.write(`${ATTACH}${UPGRADE}\r\n`);
  await ended(socket);
  assert.match(text(), /^HTTP\/1\.1 404 Not Found\r\nContent-Type: application\/json\r\n/);
  assert.match(text(), /\{"message":"No such container: web"\}\n$/);
});

test("a command that cannot run is told in the stream", async () => {
  fake.answers.set("containers.execStart", async () => {
    throw new GantryError("invalid", "exec failed: no such file");
  });
  const { socket, text } = client();
  socket.write(
    `POST /v1.50/exec/e/start HTTP/1.1\r\nHost: d\r\n${UPGRADE}Content-Length: 0\r\n\r\n`,
  );
  await ended(socket);
  assert.match(text(), /^HTTP\/1\.1 101 UPGRADED/);
  assert.match(text(), /exec failed: no such file\r\n$/);
});
