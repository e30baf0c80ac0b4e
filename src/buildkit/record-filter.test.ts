// Filters of strangers over records: what they mean, and that none takes long.

import assert from "node:assert/strict";
import { test } from "node:test";
import { recordFilter } from "./record-filter.ts";

const fits = (pattern: string, description: string): boolean =>
  recordFilter([`description~=${JSON.stringify(pattern)}`])({ description });

test("pieces are found in their order, with the ends where they are asked for", () => {
  assert.equal(fits("npm", "RUN npm ci"), true);
  assert.equal(fits("^npm", "RUN npm ci"), false);
  assert.equal(fits("^RUN.*ci$", "RUN npm ci"), true);
  assert.equal(fits("ci.*npm", "RUN npm ci"), false);
  assert.equal(fits("^.*npm.*$", "RUN npm ci"), true);
  assert.equal(fits("^ab.*b$", "ab"), false);
  assert.equal(fits("^a$", "aa"), false);
  assert.equal(fits("a$", "aba"), true);
  assert.equal(fits("a+b", "aab"), false);
  assert.equal(fits("a+b", "a+b"), true);
  assert.equal(fits("", "x"), true);
});

test("a pattern of very many stars ends", () => {
  assert.equal(fits(`${"a.*".repeat(300)}b`, "a".repeat(4000)), false);
});
