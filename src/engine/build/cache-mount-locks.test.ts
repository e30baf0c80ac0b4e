// sharing=locked: one at a time, whoever gives up waiting.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { CacheMountLocks } from "./cache-mount-locks.ts";

test("who gives up waiting for a locked cache mount lets nobody else in", async () => {
  const locks = new CacheMountLocks();
  const never = new AbortController().signal;
  const unlock = await locks.lock("npm", never);
  const impatient = new AbortController();
  const second = locks.lock("npm", impatient.signal);
  impatient.abort(new Error("cancelled"));
  await assert.rejects(second, /cancelled/);
  let isIn = false;
  const third = locks.lock("npm", never).then((release) => {
    isIn = true;
    return release;
  });
  await setImmediate();
  assert.equal(isIn, false);
  unlock();
  (await third)();
  (await locks.lock("npm", never))();
});
