import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../../test/support/deadline.ts";
import { MemoryLog } from "../../../test/support/memory-log.ts";
import { silentLogger } from "../../base/index.ts";
import type { LogEntry } from "../logs/index.ts";
import { type LogSink, RefusedLines, type SendOptions, type SinkLimits } from "./contract.ts";
import { Shipper } from "./shipper.ts";

class FakeSink implements LogSink {
  limits: SinkLimits = { linesMax: 100, bytesMax: 1000, lingerMs: 0, retryMs: 1 };
  got: string[] = [];
  closed = false;
  fail: (lines: readonly string[]) => Error | undefined = () => undefined;
  onSend: () => void = () => {};
  unsureLines: () => number = () => 0;

  async send(lines: readonly LogEntry[], _: SendOptions): Promise<number> {
    const texts = lines.map(({ text }) => text.toString());
    const error = this.fail(texts);
    if (error) throw error;
    this.got.push(...texts);
    this.onSend();
    return lines.length;
  }

  close(): void {
    this.closed = true;
  }
}

function ship(log: MemoryLog, sink: FakeSink): Shipper {
  return new Shipper({ sink, source: log, log: silentLogger });
}

test("everything is shipped in order, also what is written while the container ends", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  log.write("1", "2");
  const shipper = ship(log, sink);
  log.write("3");
  shipper.finish();
  log.write("4");
  await shipper.done;
  assert.deepEqual(sink.got, ["1", "2", "3", "4"]);
  assert.equal(log.marked, "3");
  assert.equal(sink.closed, true);
  assert.equal(shipper.counters.shippedLines, 4);
});

test("what a break may have taken is not marked, but by an end that says it arrived", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  let unsure = 0;
  sink.unsureLines = () => unsure;
  sink.onSend = () => unsure++;
  log.write("1");
  log.write("2");
  const killed = ship(log, sink);
  await until("two lines", () => sink.got.length === 2);
  killed.stop();
  await killed.done;
  assert.equal(log.marked, undefined);
  unsure = 0;
  sink.onSend = () => {};
  const next = ship(log, sink);
  next.finish();
  await next.done;
  assert.deepEqual(sink.got, ["1", "2", "1", "2"]);
  assert.equal(log.marked, "2");
});

test("a later shipper goes on where the last one was", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  log.write("1");
  const first = ship(log, sink);
  first.finish();
  await first.done;
  log.write("2");
  const second = ship(log, sink);
  second.finish();
  await second.done;
  assert.deepEqual(sink.got, ["1", "2"]);
});

test("lines that fail are sent again, and then once", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  let failures = 3;
  sink.fail = () => (failures-- > 0 ? new Error("away") : undefined);
  log.write("1", "2");
  const shipper = ship(log, sink);
  shipper.finish();
  await shipper.done;
  assert.deepEqual(sink.got, ["1", "2"]);
  assert.equal(shipper.counters.retries, 3);
  assert.equal(shipper.counters.error, undefined);
});

test("a line that is refused is dropped alone", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  sink.fail = (lines) => (lines.includes("bad") ? new RefusedLines("no") : undefined);
  log.write("1", "2", "bad", "3", "4", "5");
  const shipper = ship(log, sink);
  shipper.finish();
  await shipper.done;
  assert.deepEqual(sink.got, ["1", "2", "3", "4", "5"]);
  assert.equal(shipper.counters.droppedLines, 1);
});

test("a receiver that refuses everything does not have everything dropped", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  let refusals = 0;
  sink.fail = () => (refusals++ < 1000 ? new RefusedLines("no such index") : undefined);
  log.write(...Array.from({ length: 50 }, (_, n) => String(n)));
  const shipper = ship(log, sink);
  shipper.finish();
  await shipper.done;
  assert.equal(shipper.counters.droppedLines, 20);
  assert.equal(sink.got.length, 30);
});

test("attempts that are limited by an option end in lines that are counted as dropped", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  sink.limits = { ...sink.limits, attemptsMax: 2 };
  sink.fail = () => new Error("away");
  log.write("1", "2", "3");
  const shipper = ship(log, sink);
  shipper.finish();
  await shipper.done;
  assert.deepEqual([shipper.counters.droppedLines, shipper.counters.retries], [3, 1]);
});

test("batches keep their limits", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  sink.limits = { ...sink.limits, linesMax: 3, bytesMax: 10 };
  const sizes: number[] = [];
  sink.fail = (lines) => void sizes.push(lines.length);
  log.write("1", "2", "3", "4", "5", "long line", "6", "longer than all");
  const shipper = ship(log, sink);
  shipper.finish();
  await shipper.done;
  assert.deepEqual(sizes, [3, 2, 2, 1]);
  assert.equal(sink.got.length, 8);
});

test("a place is marked only when every line before it was taken", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  sink.limits = { ...sink.limits, linesMax: 2 };
  log.write("1", "2", "3");
  const marks: (string | undefined)[] = [];
  const stuck = Promise.withResolvers<void>();
  sink.fail = (lines) => {
    marks.push(log.marked);
    if (!lines.includes("3")) return undefined;
    stuck.resolve();
    return new Error("away");
  };
  const shipper = ship(log, sink);
  await stuck.promise;
  shipper.stop();
  await shipper.done;
  assert.ok(marks.every((mark) => mark === undefined));
  assert.equal(log.marked, undefined);
  assert.deepEqual(sink.got, ["1", "2"]);
});

test("a shipper that is stopped leaves the rest to the next", async () => {
  const [log, sink] = [new MemoryLog(), new FakeSink()];
  const sent = Promise.withResolvers<void>();
  sink.onSend = sent.resolve;
  log.write("1");
  const shipper = ship(log, sink);
  await sent.promise;
  shipper.stop();
  await shipper.done;
  log.write("2");
  const next = ship(log, sink);
  next.finish();
  await next.done;
  assert.deepEqual(sink.got, ["1", "2"]);
});
