import assert from "node:assert/strict";
import { test } from "node:test";
import { alignTabs } from "./tabwriter.ts";

test("columns are as wide as their widest cell and three spaces, ten at least", () => {
  assert.equal(
    alignTabs("A\tB\tC\nlonger-than\tb\tc"),
    "A             B         C\nlonger-than   b         c",
  );
});

test("text after the last tab belongs to no column", () => {
  assert.equal(
    alignTabs("a\tvery very long text\nb\tc"),
    "a         very very long text\nb         c",
  );
});

test("a line without a cell ends the column's block", () => {
  assert.equal(
    alignTabs("a\tb\n\nlonger-cell\tb", { minWidth: 0, padding: 1 }),
    "a b\n\nlonger-cell b",
  );
});

test("empty last cells keep the padding before them", () => {
  assert.equal(alignTabs("a\tb\t\n"), "a         b         \n");
});
