import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { silentLogger, TIMER_MS_MAX } from "../base/index.ts";
import { scheduleCollector } from "./collector-schedule.ts";
import type { ObjectStore } from "./contract.ts";

test("a collector that runs once a month waits for a month", async () => {
  const everyMs = 30 * 24 * 3600 * 1000;
  const timers: { done: () => void; ms: number }[] = [];
  const timer = mock.method(globalThis, "setTimeout", (done: () => void, ms: number) => {
    timers.push({ done, ms });
    return { unref() {} };
  });
  let runs = 0;
  const before = { expire: async () => ++runs };
  const store = {} as ObjectStore; // the run fails, and that is said
  const end = scheduleCollector(store, { everyMs }, { logger: silentLogger, before });
  try {
    let waitedMs = 0;
    while (waitedMs < everyMs) {
      assert.equal(runs, 0);
      const { done, ms } = timers.pop()!;
      assert.ok(ms <= TIMER_MS_MAX, "Node makes a millisecond of it");
      waitedMs += ms;
      done();
    }
    assert.equal(runs, 1);
  } finally {
    timer.mock.restore();
    await end();
  }
});
