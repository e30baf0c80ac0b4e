import assert from "node:assert/strict";
import { test } from "node:test";
import { EventBus } from "./bus.ts";

async function actions(events: AsyncIterable<{ Action: string }>): Promise<string[]> {
  const found: string[] = [];
  for await (const event of events) found.push(event.Action);
  return found;
}

test("a subscriber gets what happens after it subscribed, in order", async () => {
  const bus = new EventBus();
  const stop = new AbortController();
  bus.publish("container", "before", "1");
  const events = bus.subscribe({ signal: stop.signal });
  bus.publish("container", "create", "1");
  bus.publish("container", "start", "1");
  stop.abort();
  assert.deepEqual(await actions(events), ["create", "start"]);
  assert.equal(bus.subscriberCount, 0);
});

test("since replays the past, until ends the stream", async () => {
  const bus = new EventBus();
  bus.publish("container", "create", "1");
  const past = bus.subscribe({ since: 0, until: Date.now() / 1000 + 0.002 });
  assert.deepEqual(await actions(past), ["create"]);
});

test("values of one filter are alternatives, filters are conjoined", async () => {
  const bus = new EventBus();
  bus.publish("container", "create", "abcdef", { name: "web", image: "alpine", tier: "front" });
  bus.publish("container", "exec_create: sh", "abcdef", { name: "web", image: "alpine" });
  bus.publish("network", "connect", "n1", { name: "bridge" });
  const get = (filters: [string, string[]][]) =>
    actions(
      bus.subscribe({ since: 0, until: Date.now() / 1000 + 0.002, filters: new Map(filters) }),
    );
  assert.deepEqual(await get([["event", ["create", "connect"]]]), ["create", "connect"]);
  assert.deepEqual(await get([["event", ["exec_create"]]]), ["exec_create: sh"]);
  assert.deepEqual(await get([["container", ["abcd"]]]), ["create", "exec_create: sh"]);
  assert.deepEqual(
    await get([
      ["label", ["tier=front"]],
      ["type", ["container"]],
    ]),
    ["create"],
  );
  assert.deepEqual(await get([["image", ["alpine"]]]), ["create", "exec_create: sh"]);
});

test("times of events are strictly increasing", async () => {
  const bus = new EventBus();
  for (let n = 0; n < 100; n++) bus.publish("container", "x", "1");
  let last = 0n;
  for await (const event of bus.subscribe({ since: 0, until: Date.now() / 1000 + 0.002 })) {
    assert(BigInt(event.timeNano) > last);
    last = BigInt(event.timeNano);
  }
});
