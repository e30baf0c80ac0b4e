import assert from "node:assert/strict";
import { test } from "node:test";
import { PartBuffers } from "./part-buffers.ts";

test("who comes first gets the buffer that is given back", async () => {
  const buffers = new PartBuffers(8, 1);
  const first = await buffers.take();
  const order: number[] = [];
  const waiting = [1, 2].map(async (n) => {
    const share = await buffers.take();
    order.push(n);
    assert.equal(share.buffer, first.buffer);
    buffers.give(share);
  });
  buffers.give(first);
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2]);
});

test("an idle owner is asked while others wait, a busy one is not", async () => {
  const buffers = new PartBuffers(8, 2);
  const idle = await buffers.take(() => buffers.give(idle));
  const busy = await buffers.take(() => assert.fail("the busy one was asked"));
  idle.usedAt -= 10_000;
  busy.usedAt += 60_000;
  const third = await buffers.take();
  assert.equal(third.buffer, idle.buffer);
  buffers.give(third);
  buffers.give(busy);
});
