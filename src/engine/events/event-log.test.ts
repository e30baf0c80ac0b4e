import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLogger } from "../../base/index.ts";
import { EventBus } from "./bus.ts";
import { type EventLimits, EventLog } from "./event-log.ts";

const LIMITS: EventLimits = { eventsMax: 100_000, ageSecondsMax: 0 };
const log = createLogger({ level: "fatal" });

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "gantry-events-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return join(path, "events.db");
}

async function replay(bus: EventBus): Promise<string[]> {
  const found: string[] = [];
  for await (const event of bus.subscribe({ since: 0, until: Date.now() / 1000 + 0.002 })) {
    found.push(`${event.Action} ${event.Actor.Attributes["name"] ?? ""}`.trim());
  }
  return found;
}

test("events outlive the bus, and their numbers go on", async (t) => {
  const path = folder(t);
  const first = new EventBus(EventLog.open(path, LIMITS, log));
  first.publish("container", "create", "1", { name: "a" });
  first.publish("container", "start", "1", { name: "a" });
  const cursors: string[] = [];
  const until = Date.now() / 1000 + 0.002;
  for await (const { cursor } of first.follow({ since: 0, until })) cursors.push(cursor);
  first.close();
  const second = new EventBus(EventLog.open(path, LIMITS, log));
  second.publish("container", "die", "1");
  assert.deepEqual(await replay(second), ["create a", "start a", "die"]);
  const rest = [];
  for await (const event of second.subscribe({
    after: cursors[0]!,
    until: Date.now() / 1000 + 0.002,
  })) {
    rest.push(event.Action);
  }
  assert.deepEqual(rest, ["start", "die"]);
  second.close();
});

test("a slow subscriber reads from the disk and loses nothing", async (t) => {
  const bus = new EventBus(EventLog.open(folder(t), LIMITS, log));
  const stop = new AbortController();
  const events = bus.subscribe({ signal: stop.signal });
  for (let n = 0; n < 6000; n++) bus.publish("container", String(n), "1");
  stop.abort();
  let next = 0;
  for await (const { Action } of events) assert.equal(Action, String(next++));
  assert.equal(next, 6000);
  bus.close();
});

test("what is too much goes, and a consumer that has not seen it is told", async (t) => {
  const path = folder(t);
  const first = new EventBus(EventLog.open(path, LIMITS, log));
  for (let n = 0; n < 20; n++) first.publish("container", String(n), "1");
  let early = "";
  for await (const { cursor } of first.follow({ since: 0, until: Date.now() / 1000 + 0.002 })) {
    early ||= cursor;
  }
  first.close();
  const second = new EventBus(EventLog.open(path, { ...LIMITS, eventsMax: 5 }, log));
  assert.deepEqual(await replay(second), ["15", "16", "17", "18", "19"]);
  const told = [];
  const until = Date.now() / 1000 + 0.002;
  for await (const { Action, Actor } of second.subscribe({ after: early, until })) {
    told.push([Action, Actor.Attributes["count"]]);
  }
  assert.deepEqual(told[0], ["events-lost", "14"]);
  assert.equal(told.length, 6);
  second.close();
});

test("what takes too much room goes, the oldest first", async (t) => {
  const path = folder(t);
  const bytesMax = 1024 * 1024;
  const bus = new EventBus(EventLog.open(path, { ...LIMITS, bytesMax }, log));
  const value = "x".repeat(1000);
  const labels = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`label${n}`, value]));
  for (let n = 0; n < 1000; n++) {
    bus.publish("container", String(n), "1", labels);
    if (n % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  bus.close();
  const again = new EventBus(EventLog.open(path, { ...LIMITS, bytesMax }, log));
  const left = await replay(again);
  again.close();
  assert.ok(left.length > 0 && left.length < 27, String(left.length));
  assert.equal(left.at(-1), "999");
});

test("labels of any length make no event of any length", async () => {
  const bus = new EventBus();
  const many = Object.fromEntries(Array.from({ length: 9000 }, (_, n) => [`a${n}`, "0123456789"]));
  const labels = { ...many, long: "x".repeat(10_000_000) };
  bus.publish("container", "start", "1", { ...labels, name: "web", image: "i".repeat(300) });
  for await (const { Actor } of bus.subscribe({ since: 0, until: Date.now() / 1000 + 0.002 })) {
    assert.ok(JSON.stringify(Actor).length < 200_000);
    assert.deepEqual([Actor.Attributes["name"], Actor.Attributes["a0"]], ["web", "0123456789"]);
    assert.equal(Actor.Attributes["image"]?.length, 300);
  }
  bus.close();
});

test("what is too old goes", async (t) => {
  const path = folder(t);
  const first = new EventBus(EventLog.open(path, LIMITS, log));
  first.publish("container", "old", "1");
  first.close();
  const brief = { ...LIMITS, ageSecondsMax: 1e-6 };
  const second = new EventBus(EventLog.open(path, brief, log));
  assert.deepEqual(await replay(second), []);
  second.close();
});

test("a log that cannot be read is put aside", async (t) => {
  const path = folder(t);
  writeFileSync(path, "this is no database, whatever its name says".repeat(100));
  const bus = new EventBus(EventLog.open(path, LIMITS, log));
  bus.publish("container", "create", "1");
  assert.deepEqual(await replay(bus), ["create"]);
  bus.close();
});
