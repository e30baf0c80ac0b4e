// Attach over WebSocket with Node's own client and the engine of fakes.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { createApi } from "../../src/api/index.ts";
import { acceptWebsocket } from "../../src/api/websocket.ts";
import { silentLogger } from "../../src/base/index.ts";
import { encodeFrame } from "../../src/protocol/index.ts";
import { fakeEngine } from "../fakes/engine.ts";

const fake = fakeEngine();
const api = createApi({ engine: fake.engine, serverVersion: "0.1.0", log: silentLogger }).server();
let port = 0;

before(async () => {
  await new Promise<void>((resolve) => api.server.listen(0, "127.0.0.1", resolve));
  port = (api.server.address() as AddressInfo).port;
});
after(() => api.close());

test("a WebSocket carries stdin, and output without frames", async () => {
  fake.answers.set("containers.attach", async () => {
    const stream: Duplex = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        stream.push(encodeFrame(1, Buffer.from(`<${chunk.length}`)));
        stream.push(encodeFrame(2, Buffer.from(">")));
        if (chunk.toString().endsWith("end")) stream.push(null);
        done();
      },
    });
    return { tty: false, stream };
  });
  const socket = new WebSocket(
    `ws://127.0.0.1:${port}/v1.44/containers/web/attach/ws?stream=1&stdin=1&stdout=1`,
  );
  socket.binaryType = "arraybuffer";
  let received = "";
  socket.addEventListener("message", ({ data }) => {
    received += Buffer.from(data as ArrayBuffer).toString();
  });
  await once(socket, "open");
  socket.send("hello");
  socket.send("x".repeat(70_000));
  socket.send("end");
  const [closed] = (await once(socket, "close")) as [CloseEvent];
  assert.equal(closed.code, 1000);
  const sizes = [...received.matchAll(/\d+/g)].map(Number);
  assert.equal(
    sizes.reduce((sum, n) => sum + n, 0),
    70_008,
  );
});

test("a client that hangs up ends the stream", async () => {
  const ended = new Promise<void>((resolve) => {
    fake.answers.set("containers.attach", async () => {
      const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
      stream.on("close", () => resolve());
      return { tty: true, stream };
    });
  });
  const socket = new WebSocket(`ws://127.0.0.1:${port}/containers/web/attach/ws?stream=1&stdin=1`);
  await once(socket, "open");
  socket.close();
  await ended;
});

test("what is no WebSocket, or comes from another site, is refused", async () => {
  const url = `http://127.0.0.1:${port}/containers/web/attach/ws`;
  const plain = await fetch(url);
  assert.equal(plain.status, 400);
  assert.match(await plain.text(), /WebSocket handshake/);
  const handshake = {
    upgrade: "websocket",
    "sec-websocket-key": "a",
    "sec-websocket-version": "13",
  };
  const from = (origin: string) => () =>
    acceptWebsocket({ headers: { ...handshake, host: "d:2375", origin } });
  assert.throws(from("https://evil.example"), { kind: "forbidden" });
  assert.match(from("http://d:2375")(), /^HTTP\/1\.1 101 /);
});
