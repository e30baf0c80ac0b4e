import assert from "node:assert/strict";
import { test } from "node:test";
import { rateLimitOf, retryAfterSeconds } from "./retry-after.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const after = (text: string) => retryAfterSeconds({ "retry-after": text }, NOW);

test("a wait is told in seconds or as a date, and a long one is not waited for", () => {
  assert.equal(after("7"), 7);
  assert.equal(after("Thu, 01 Jan 2026 00:00:09 GMT"), 9);
  assert.equal(after("Wed, 31 Dec 2025 00:00:00 GMT"), 0);
  for (const text of ["61", "soon", "-5", "9".repeat(400)]) assert.equal(after(text), undefined);
  assert.equal(retryAfterSeconds({}, NOW), undefined);
  assert.equal(retryAfterSeconds({ "x-ratelimit-reset": String(NOW / 1000 + 5) }, NOW), 5);
});

test("rate limits are read as Docker Hub tells them", () => {
  const headers = { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" };
  assert.deepEqual(rateLimitOf(headers), { limit: 100, remaining: 76, windowSeconds: 21_600 });
  assert.deepEqual(rateLimitOf({ "ratelimit-limit": "many" }), undefined);
});
