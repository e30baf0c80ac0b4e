// What ends a follower of a log at its own bound, in the order that a test chooses.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LogChanges } from "./changes.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-changes-"));
});
after(() => rm(folder, { recursive: true }));

const START = 1_700_000_000_000;

test("a follower's time is over at its last nanosecond, and not with the second before", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: START });
  let asked = 0;
  const settle = async () => void asked++;
  const until = { seconds: START / 1000 + 2, nanoseconds: 900_000_001 };
  using changes = new LogChanges(join(folder, "log"), { until, settle });
  t.mock.timers.tick(2_900);
  assert.equal(asked, 0);
  assert.equal(changes.ended, false);
  t.mock.timers.tick(1);
  assert.equal(asked, 1);
});

test("a follower whose time is over ends when what was read by then is written", async () => {
  const written = Promise.withResolvers<void>();
  const until = new Date(START);
  using changes = new LogChanges(join(folder, "log"), { until, settle: () => written.promise });
  const woken = changes.next();
  await Promise.resolve();
  assert.equal(changes.ended, false);
  written.resolve();
  await woken;
  while (!changes.ended) await changes.next();
});

test("a follower ends at its time though the monitor is gone", async () => {
  const settle = () => Promise.reject(new Error("gone"));
  using changes = new LogChanges(join(folder, "log"), { until: new Date(START), settle });
  while (!changes.ended) await changes.next();
});
