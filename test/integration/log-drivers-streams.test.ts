// The gelf and fluentd drivers against strict servers: what messages hold, chunks and compression,
// acknowledgements, servers that go away, that never answer or answer what nobody asked.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { forwardMessage } from "../../src/engine/log-drivers/fluent-forward.ts";
import { StreamSender } from "../../src/engine/log-drivers/stream-sender.ts";
import { until } from "../support/deadline.ts";
import { type FluentReceiver, receiveFluentd } from "../support/log-receivers/fluentd.ts";
import { receiveGelfTcp, receiveGelfUdp } from "../support/log-receivers/gelf.ts";
import { CONTAINER_ID, numbered, ship } from "../support/shipping.ts";

const TIME_NANO = 1_700_000_000_123_456_789n;
/** More than two sockets hold. */
const MUCH_BYTES = 96 * 1024 * 1024;
const SHORT_ID = CONTAINER_ID.slice(0, 12);

test("a GELF message says which container, image and command it is of", async () => {
  await using receiver = await receiveGelfUdp();
  await using shipping = await ship("gelf", {
    "gelf-address": `udp://127.0.0.1:${receiver.port}`,
    labels: "com.example",
    env: "MODE",
    tag: "{{.ImageName}}",
  });
  shipping.log.write({ text: Buffer.from("one"), timeNano: TIME_NANO, stream: "stderr" });
  await shipping.finish();
  await receiver.until((got) => got.length === 1);
  const { host, ...message } = receiver.got[0]!;
  assert.equal(typeof host, "string");
  assert.deepEqual(message, {
    version: "1.1",
    short_message: "one",
    timestamp: 1_700_000_000.123,
    level: 3,
    _container_id: CONTAINER_ID,
    _container_name: "web",
    _image_id: `sha256:${"fe".repeat(32)}`,
    _image_name: "image:1",
    _command: "/bin/program one two",
    _tag: "image:1",
    _created: "2026-01-02T03:04:05.678901234Z",
    "_com.example": "label",
    _MODE: "fast",
  });
  assert.deepEqual(receiver.complaints, []);
});

for (const type of ["gzip", "zlib", "none"]) {
  test(`a large message goes in chunks (${type})`, async () => {
    await using receiver = await receiveGelfUdp();
    await using shipping = await ship("gelf", {
      "gelf-address": `udp://127.0.0.1:${receiver.port}`,
      "gelf-compression-type": type,
      "gelf-compression-level": "9",
    });
    const text = Array.from({ length: 3000 }, () => Math.random().toString(36)[5]).join("");
    shipping.log.write(text);
    await shipping.finish();
    await receiver.until((got) => got.length === 1);
    assert.equal(receiver.got[0]!.short_message, text);
    assert.ok(receiver.datagramBytesMax() <= 1420);
    assert.deepEqual(receiver.complaints, []);
  });
}

test("a message that no number of chunks can hold is dropped and counted", async () => {
  await using receiver = await receiveGelfUdp();
  await using shipping = await ship("gelf", {
    "gelf-address": `udp://127.0.0.1:${receiver.port}`,
    "gelf-compression-type": "none",
  });
  shipping.log.write("before", "x".repeat(200_000), "after");
  await shipping.finish();
  await receiver.until((got) => got.length === 2);
  const texts = receiver.got.map(({ short_message }) => short_message);
  assert.deepEqual(texts, ["before", "after"]);
  assert.equal(shipping.shipper.counters.droppedLines, 1);
});

test("GELF over TCP gives every line to a server that comes back", async () => {
  let receiver = await receiveGelfTcp();
  const { port } = receiver;
  await using shipping = await ship("gelf", {
    "gelf-address": `tcp://127.0.0.1:${port}`,
    "gelf-tcp-reconnect-delay": "0",
  });
  const seen = new Set<string>();
  shipping.log.write(...numbered(0, 500));
  await receiver.until((got) => got.length > 0);
  await receiver[Symbol.asyncDispose]();
  for (const { short_message } of receiver.got) seen.add(short_message);
  shipping.log.write(...numbered(500, 1000));
  receiver = await receiveGelfTcp({ port });
  await using last = receiver;
  await shipping.finish();
  await last.until((got) => {
    for (const { short_message } of got) seen.add(short_message);
    return seen.size === 1000;
  });
  assert.deepEqual(last.complaints, []);
});

test("after gelf-tcp-max-reconnect attempts lines are dropped and counted", async () => {
  const receiver = await receiveGelfTcp();
  await using shipping = await ship("gelf", {
    "gelf-address": `tcp://127.0.0.1:${receiver.port}`,
    "gelf-tcp-max-reconnect": "2",
    "gelf-tcp-reconnect-delay": "0",
  });
  await receiver[Symbol.asyncDispose]();
  // The kernel takes what comes first, and says only then that nobody reads it.
  for (let n = 0; shipping.shipper.counters.droppedLines === 0; n++) {
    shipping.log.write(`line ${n}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(shipping.shipper.counters.retries >= 2);
  assert.match(shipping.shipper.counters.error ?? "", /cannot connect to GELF|closed|broken/);
});

const texts = ({ got }: FluentReceiver) => got.map(({ record }) => record["log"] ?? "");

test("a Fluentd record is what docker's driver makes of a line", async () => {
  await using receiver = await receiveFluentd();
  await using shipping = await ship("fluentd", {
    "fluentd-address": `127.0.0.1:${receiver.port}`,
    "fluentd-sub-second-precision": "true",
    "env-regex": "^MO",
    tag: "docker.{{.Name}}",
  });
  const partial = { id: "p", ordinal: 1, last: false };
  shipping.log.write(
    { text: Buffer.from("one"), timeNano: TIME_NANO },
    { text: Buffer.from("tw"), timeNano: TIME_NANO, stream: "stderr", partial },
  );
  await shipping.finish();
  await receiver.until((got) => got.length === 2);
  const common = { container_id: CONTAINER_ID, container_name: "/web", MODE: "fast" };
  const event = { tag: "docker.web", timeNano: TIME_NANO, precise: true };
  assert.deepEqual(receiver.got, [
    { ...event, record: { ...common, source: "stdout", log: "one" } },
    {
      ...event,
      record: {
        ...common,
        source: "stderr",
        log: "tw",
        partial_message: "true",
        partial_id: "p",
        partial_ordinal: "1",
        partial_last: "false",
      },
    },
  ]);
});

test("times are whole seconds unless more is asked for, over a unix socket as well", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-fluentd-"));
  try {
    const path = join(folder, "socket");
    await using receiver = await receiveFluentd({ path });
    await using shipping = await ship("fluentd", { "fluentd-address": `unix://${path}` });
    shipping.log.write({ text: Buffer.from("one"), timeNano: TIME_NANO });
    await shipping.finish();
    await receiver.until((got) => got.length === 1);
    const [event] = receiver.got;
    assert.deepEqual([event?.precise, event?.timeNano], [false, 1_700_000_000_000_000_000n]);
    assert.equal(event?.tag, SHORT_ID);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("with acknowledgements a batch counts when it is acknowledged, and not before", async () => {
  const asked = Promise.withResolvers<void>();
  let said: () => unknown = () => undefined;
  await using receiver = await receiveFluentd({
    answer: (chunk, socket) => {
      asked.resolve();
      said = () => socket.destroy();
      return count++ > 0 ? { ack: chunk } : undefined;
    },
  });
  let count = 0;
  await using shipping = await ship("fluentd", {
    "fluentd-address": `tcp://127.0.0.1:${receiver.port}`,
    "fluentd-request-ack": "true",
    "fluentd-retry-wait": "1ms",
  });
  shipping.log.write("one", "two");
  await asked.promise;
  assert.equal(shipping.shipper.counters.shippedLines, 0);
  assert.equal(shipping.log.marked, undefined);
  said(); // the first connection breaks without an answer
  await shipping.finish();
  assert.deepEqual(texts(receiver), ["one", "two", "one", "two"]);
  assert.equal(shipping.shipper.counters.shippedLines, 2);
  assert.equal(shipping.log.marked, "1");
});

const HOSTILE: [what: string, answer: unknown][] = [
  ["another chunk", { ack: "bm90IHRoaXM=" }],
  ["no map", 7],
  ["no MessagePack", Buffer.from("c1c1c1", "hex")],
  ["a huge text", Buffer.from("dbffffffff", "hex")],
  ["very much", Buffer.alloc(256 * 1024, 0x91)],
];
for (const [what, answer] of HOSTILE) {
  test(`a receiver that acknowledges with ${what} is asked again, on a new connection`, async () => {
    let count = 0;
    await using receiver = await receiveFluentd({
      answer: (chunk) => (count++ < 2 ? answer : { ack: chunk }),
    });
    await using shipping = await ship("fluentd", {
      "fluentd-address": `tcp://127.0.0.1:${receiver.port}`,
      "fluentd-request-ack": "true",
      "fluentd-retry-wait": "1ms",
    });
    shipping.log.write("one");
    await shipping.finish();
    assert.equal(shipping.shipper.counters.retries, 2);
    assert.deepEqual(texts(receiver), ["one", "one", "one"]);
  });
}

test("a receiver that never acknowledges is given up after a while", async () => {
  await using receiver = await receiveFluentd({ answer: () => undefined });
  const endpoint = { kind: "tcp" as const, host: "127.0.0.1", port: receiver.port };
  const sender = new StreamSender(endpoint, { replays: false, answerMs: 20 });
  const { signal } = new AbortController();
  const message = Buffer.from(forwardMessage("tag", [[1, { log: "x" }]], "chunk"));
  const take = async (answers: AsyncIterable<Uint8Array>) => {
    for await (const _ of answers) return;
  };
  await assert.rejects(sender.exchange(message, take, signal), /does not acknowledge/);
  sender.close();
});

test("a receiver that takes nothing is given up after a while", async () => {
  await using receiver = await receiveGelfTcp({ onConnection: (socket) => socket.pause() });
  const endpoint = { kind: "tcp" as const, host: "127.0.0.1", port: receiver.port };
  const sender = new StreamSender(endpoint, { stallMs: 50 });
  const { signal } = new AbortController();
  const block = Buffer.alloc(1024 * 1024);
  const flood = async () => {
    for (;;) await sender.send(block, signal);
  };
  await assert.rejects(flood(), /the receiver takes nothing/);
  sender.close();
});

test("a receiver that takes nothing and talks without end does not fill the memory", async () => {
  let said = 0;
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    const word = Buffer.alloc(256 * 1024, 1);
    const talk = (error?: Error | null): void => {
      if (error) return;
      said += word.length;
      if (said < MUCH_BYTES) setImmediate(() => socket.write(word, talk));
    };
    socket.on("error", () => {});
    talk();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const endpoint = { kind: "tcp" as const, host: "127.0.0.1", port };
  const sender = new StreamSender(endpoint, { replays: false, stallMs: 500 });
  const { signal } = new AbortController();
  const take = () => Promise.resolve();
  try {
    await assert.rejects(sender.exchange(Buffer.alloc(MUCH_BYTES), take, signal));
  } finally {
    sender.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  // What the kernel keeps between the two, and no more.
  assert.ok(said < MUCH_BYTES, `${said} bytes were read`);
});

test("a start fails without a receiver, unless fluentd-async waits for it", async () => {
  const gone = await receiveFluentd();
  const { port } = gone;
  await gone[Symbol.asyncDispose]();
  const address = { "fluentd-address": `tcp://127.0.0.1:${port}` };
  await assert.rejects(ship("fluentd", address), {
    message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
  const wait = { "fluentd-async": "true", "fluentd-async-reconnect-interval": "100ms" };
  await using shipping = await ship("fluentd", { ...address, ...wait });
  shipping.log.write("early");
  await until("a retry", () => shipping.shipper.counters.retries > 0);
  await using receiver = await receiveFluentd({ port });
  await shipping.finish();
  await receiver.until((got) => got.length > 0);
  assert.deepEqual(texts(receiver), ["early"]);
});
