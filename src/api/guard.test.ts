import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { jsonBodyBytesMax } from "./body.ts";
import { guarded, type RequestGuard, type SeenRequest } from "./guard.ts";
import { empty } from "./reply.ts";

const headers = { "content-type": "application/json" };
const request = { method: "POST", url: "/build", headers, socket: {} } as IncomingMessage;

function watch(): { seen: SeenRequest[]; guard: RequestGuard } {
  const seen: SeenRequest[] = [];
  const guard: RequestGuard = {
    isActive: () => true,
    request: async (shown) => void seen.push(shown),
    answer: async () => {},
  };
  return { seen, guard };
}

/** A body without an end, and how much of it was taken. */
function endless(): { body: Readable; taken(): number } {
  let bytes = 0;
  const body = new Readable({
    read() {
      bytes += 64 * 1024;
      this.push(Buffer.alloc(64 * 1024, "x"));
    },
  });
  return { body, taken: () => bytes };
}

test("of a body without an end no more is held than is allowed", async () => {
  const { guard, seen } = watch();
  const { body, taken } = endless();
  const answer = guarded(guard, { request, body, isStream: false }, async () => empty());
  await assert.rejects(answer, { kind: "invalid", message: /larger than/ });
  assert.ok(taken() <= jsonBodyBytesMax + (1 << 20), String(taken()));
  assert.equal(seen.length, 0);
  assert.equal(body.listenerCount("readable"), 0);
});

test("a stream that calls itself JSON reaches its handler whole and unseen", async () => {
  const { guard, seen } = watch();
  const chunks = Array.from({ length: 40 }, (_, n) => Buffer.alloc(100_000, String(n % 10)));
  const body = Readable.from(chunks, { objectMode: false });
  let got = "";
  await guarded(guard, { request, body, isStream: true }, async (given) => {
    got = await text(given);
    return empty();
  });
  assert.equal(got, Buffer.concat(chunks).toString());
  assert.deepEqual([seen.length, seen[0]?.body], [1, undefined]);
});

test("a handler that leaves a stream early leaves nothing that reads it", async () => {
  const { guard } = watch();
  const { body, taken } = endless();
  await guarded(guard, { request, body, isStream: true }, async (given) => {
    for await (const _ of given) break;
    return empty();
  });
  assert.ok(taken() < 4 << 20, String(taken()));
  assert.equal(body.listenerCount("readable"), 0);
});

test("a client that goes away in the middle of its body is an error, not a wait", async () => {
  for (const cause of [undefined, new Error("read ECONNRESET")]) {
    const { guard, seen } = watch();
    const body = new Readable({ read() {} });
    body.push("{");
    const answer = guarded(guard, { request, body, isStream: false }, async () => empty());
    setImmediate(() => body.destroy(cause));
    await assert.rejects(answer);
    assert.equal(seen.length, 0);
  }
});
