import assert from "node:assert/strict";
import { test } from "node:test";
import { persist } from "./persist.ts";

test("work that fails is done again until it succeeds, and each failure is told", async () => {
  const told: unknown[] = [];
  let turns = 0;
  const alive = setInterval(() => {}, 1000);
  await persist(
    async () => {
      if (++turns < 3) throw new Error(`turn ${turns}`);
    },
    { isNeeded: () => true, failed: (error) => told.push((error as Error).message) },
  );
  clearInterval(alive);
  assert.deepEqual(told, ["turn 1", "turn 2"]);
});

test("work that is not needed any more is left alone", async () => {
  const told: unknown[] = [];
  const alive = setInterval(() => {}, 1000);
  await persist(() => Promise.reject(new Error("no")), {
    isNeeded: () => told.length === 0,
    failed: (error) => told.push(error),
  });
  clearInterval(alive);
  assert.equal(told.length, 1);
});
