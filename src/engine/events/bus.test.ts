import assert from "node:assert/strict";
import { test } from "node:test";
import { EventBus } from "./bus.ts";

async function actions(events: AsyncIterable<{ Action: string }>): Promise<string[]> {
  const found: string[] = [];
  for await (const event of events) found.push(event.Action);
  return found;
}
const soon = (): number => Date.now() / 1000 + 0.002;

test("a subscriber gets what happens after it subscribed, in order", async () => {
  const bus = new EventBus();
  const stop = new AbortController();
  bus.publish("container", "before", "1");
  const events = bus.subscribe({ signal: stop.signal });
  bus.publish("container", "create", "1");
  bus.publish("container", "start", "1");
  stop.abort();
  bus.publish("container", "after", "1");
  assert.deepEqual(await actions(events), ["create", "start"]);
  assert.equal(bus.subscriberCount, 0);
});

test("a subscriber that waits is woken by what happens", async () => {
  const bus = new EventBus();
  const events = bus.subscribe()[Symbol.asyncIterator]();
  const next = events.next();
  bus.publish("container", "create", "1");
  assert.equal((await next).value?.Action, "create");
  await events.return?.();
  assert.equal(bus.subscriberCount, 0);
});

test("since replays the past, until ends the stream", async () => {
  const bus = new EventBus();
  bus.publish("container", "create", "1");
  assert.deepEqual(await actions(bus.subscribe({ since: 0, until: soon() })), ["create"]);
});

test("moments are as exact as events", async () => {
  const bus = new EventBus();
  for (const action of ["a", "b", "c"]) bus.publish("container", action, "1");
  const times: bigint[] = [];
  for await (const { timeNano } of bus.subscribe({ since: 0, until: soon() })) {
    times.push(BigInt(timeNano));
  }
  const [, second] = times;
  const one = bus.subscribe({ since: second!, until: second! });
  assert.deepEqual(await actions(one), ["b"]);
});

test("times of events are strictly increasing", async () => {
  const bus = new EventBus();
  for (let n = 0; n < 100; n++) bus.publish("container", "x", "1");
  let last = 0n;
  for await (const event of bus.subscribe({ since: 0, until: soon() })) {
    assert(BigInt(event.timeNano) > last);
    last = BigInt(event.timeNano);
  }
});

test("attributes come in the order of their names", async () => {
  const bus = new EventBus();
  bus.publish("container", "die", "1", { name: "web", image: "a", exitCode: "0", none: undefined });
  for await (const { Actor } of bus.subscribe({ since: 0, until: soon() })) {
    assert.deepEqual(Object.keys(Actor.Attributes), ["exitCode", "image", "name"]);
  }
});

test("a cursor goes on behind its event", async () => {
  const bus = new EventBus();
  for (const action of ["a", "b", "c"]) bus.publish("container", action, "1");
  const cursors: string[] = [];
  for await (const { cursor } of bus.follow({ since: 0, until: soon() })) cursors.push(cursor);
  const rest = bus.subscribe({ after: cursors[0]!, until: soon() });
  assert.deepEqual(await actions(rest), ["b", "c"]);
  assert.deepEqual(await actions(bus.subscribe({ after: cursors[2]!, until: soon() })), []);
});

test("a cursor that is none is refused, one of another log tells what it cannot know", async () => {
  const bus = new EventBus();
  bus.publish("container", "a", "1");
  assert.throws(() => bus.subscribe({ after: "x" }), /invalid cursor "x"/);
  const found = await actions(bus.subscribe({ after: "12345678-1", until: soon() }));
  assert.deepEqual(found, ["events-lost", "a"]);
});

test("without a log on disk a slow subscriber hears how much it has lost", async () => {
  const bus = new EventBus();
  const stop = new AbortController();
  const events = bus.subscribe({ signal: stop.signal, filters: new Map([["type", ["network"]]]) });
  for (let n = 0; n < 10_000; n++) bus.publish("container", "x", "1");
  bus.publish("network", "create", "1");
  stop.abort();
  const found = [];
  for await (const event of events) found.push(event);
  assert.deepEqual(
    found.map(({ Type, Action }) => `${Type} ${Action}`),
    ["daemon events-lost", "network create"],
  );
  const lost = Number(found[0]?.Actor.Attributes["count"]);
  assert(lost > 0 && lost < 10_000, String(lost));
});
