import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { RegistryError } from "../errors.ts";
import { addressKey, Buckets, RateLimits } from "./rate-limits.ts";

test("a bucket gives its burst at once, then what is refilled", () => {
  let now = 0;
  const buckets = new Buckets({ perSecond: 2, burst: 3 }, 10, () => now);
  assert.deepEqual(
    [1, 2, 3].map(() => buckets.take("a")),
    [0, 0, 0],
  );
  assert.equal(buckets.take("a"), 0.5);
  now = 0.5;
  assert.equal(buckets.take("a"), 0);
  assert.notEqual(buckets.take("a"), 0);
  assert.equal(buckets.take("b"), 0);
  now = 1000;
  assert.deepEqual(
    [1, 2, 3].map(() => buckets.take("a")),
    [0, 0, 0],
  );
  assert.notEqual(buckets.take("a"), 0);
});

test("a million addresses are remembered in bounded memory", () => {
  const buckets = new Buckets({ perSecond: 1, burst: 1 }, 100, () => 0);
  for (let number = 0; number < 100_000; number++) buckets.take(`address ${number}`);
  assert.equal(buckets.size, 100);
});

test("an IPv6 customer is one address however many of his network he uses", () => {
  assert.equal(addressKey("2001:db8::1"), addressKey("2001:db8::ffff:1"));
  assert.equal(addressKey("2001:db8:0:0:1:2:3:4"), addressKey("2001:0db8::5"));
  assert.notEqual(addressKey("2001:db8:0:1::1"), addressKey("2001:db8::1"));
  assert.equal(addressKey("::1"), "0:0:0:0::/64");
  assert.equal(addressKey("10.1.2.3"), "10.1.2.3");
});

test("too many requests are refused with the time to wait", () => {
  const limits = new RateLimits({ perAddress: { perSecond: 0.1, burst: 1 } }, () => 0);
  limits.address("10.0.0.1");
  assert.throws(
    () => limits.address("10.0.0.1"),
    (error: unknown) =>
      error instanceof RegistryError &&
      error.code === "TOOMANYREQUESTS" &&
      error.status === 429 &&
      error.headers["Retry-After"] === "10",
  );
  limits.address("10.0.0.2");
});

test("wrong passwords end guessing for their address alone, and for a time", () => {
  let now = 0;
  const limits = new RateLimits({ failedLogins: { perSecond: 1, burst: 3 } }, () => now);
  for (let attempt = 0; attempt < 3; attempt++) {
    limits.mayGuess("10.0.0.1");
    limits.guessedWrong("10.0.0.1");
  }
  assert.throws(() => limits.mayGuess("10.0.0.1"), /too many/);
  limits.mayGuess("10.0.0.2");
  now = 1;
  limits.mayGuess("10.0.0.1");
});

test("a paced connection gets every byte in order, those beyond its share after a wait", async (t) => {
  const waits = t.mock.method(globalThis, "setTimeout");
  const limits = new RateLimits({ bytesPerSecond: 200_000 });
  const sent = Buffer.alloc(300_000, "0123456789");
  const server = createServer((socket) => {
    limits.pace(socket);
    for (let at = 0; at < sent.length; at += 30_000) socket.write(sent.subarray(at, at + 30_000));
    socket.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const chunks: Buffer[] = [];
  for await (const chunk of client as AsyncIterable<Buffer>) chunks.push(chunk);
  server.close();
  assert.ok(Buffer.concat(chunks).equals(sent));
  // The first 200,000 are its burst.
  assert.ok(waits.mock.calls.some(({ arguments: [, ms] }) => ms !== undefined && ms > 0));
});

test("a paced connection that breaks off ends its timers and its writer", async () => {
  const limits = new RateLimits({ bytesPerSecond: 10 });
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  limits.pace(socket);
  socket.on("error", () => {});
  const written = new Promise((resolve) => socket.write(Buffer.alloc(100_000), resolve));
  client.destroy();
  socket.destroy();
  assert.ok((await written) instanceof Error);
  server.close();
});
