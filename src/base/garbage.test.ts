import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { noteGarbage } from "./garbage.ts";

const scope = globalThis as { gc?: unknown };
const before = scope.gc;
afterEach(() => {
  if (before === undefined) delete scope.gc;
  else scope.gc = before;
});

test("every eight megabytes that went by, the young generation is collected", () => {
  const calls: unknown[] = [];
  scope.gc = (options: unknown) => void calls.push(options);
  noteGarbage(8 << 20); // whatever other tests have left
  calls.length = 0;
  for (let n = 0; n < 128; n++) noteGarbage(256 << 10);
  assert.deepEqual(calls, Array(4).fill({ type: "minor" }));
});

test("without a collector nothing happens", () => {
  delete scope.gc;
  noteGarbage(64 << 20);
});
