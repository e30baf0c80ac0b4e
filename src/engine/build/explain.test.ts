import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, formerOf, reasonOf, type StepMemo, textOf } from "./explain.ts";

const memo: StepMemo = {
  ...{ text: "COPY . /src", key: "k", base: "b", baseName: "RUN apt-get update" },
  parts: { destination: "1", owner: "2" },
  env: { A: "1", B: "1" },
  reads: [{ label: ".", digest: "1", files: { "src/a": "1", "src/b": "1" } }],
};
const changed = (change: Partial<StepMemo>) => difference(memo, { ...memo, ...change });
const files = (record: Record<string, string>) =>
  changed({ reads: [{ label: ".", digest: "2", files: record }] });

test("each input that changed is named", () => {
  assert.equal(changed({}), "");
  assert.equal(changed({ base: "c" }), "RUN apt-get update made other files");
  assert.equal(changed({ parts: { destination: "2", owner: "2" } }), "the destination changed");
  assert.equal(
    changed({ env: { A: "2", C: "1" } }),
    "A in the environment changed; C in the environment is new; B in the environment is gone",
  );
});

test("files are named where they are known, and their source where not", () => {
  assert.equal(files({ "src/a": "2", "src/c": "1" }), "src/a changed, src/c is new, src/b is gone");
  assert.equal(changed({ reads: [{ label: ".", digest: "2" }] }), ". changed");
});

test("of many files some are named and all are counted", () => {
  const names = Array.from({ length: 9 }, (_, index) => [`f${index}`, "1"]);
  const many = files({ "src/a": "1", "src/b": "1", ...Object.fromEntries(names) });
  assert.equal(many, "f0, f1, f2, f3, f4 and 4 more are new");
});

test("a name from a client's file is no property of ours", () => {
  const before = { ...memo, env: {} };
  const now = { ...memo, env: Object.fromEntries([["__proto__", "1"]]) };
  assert.equal(difference(before, now), "__proto__ in the environment is new");
});

test("the reason tells a cache that is not asked from one that does not have it", () => {
  const looked = { found: false, fresh: false };
  assert.match(reasonOf(undefined, memo, looked), /has not run here before/);
  assert.match(reasonOf(memo, memo, looked), /no longer in the cache/);
  assert.match(reasonOf(memo, memo, { found: false, fresh: true }), /--no-cache/);
  assert.equal(reasonOf(memo, memo, { found: true, fresh: false }), "cached: nothing changed");
});

test("a step is compared with itself, though lines were put in before it", () => {
  const other = { ...memo, text: "RUN make" };
  assert.equal(formerOf([other, memo], memo, 0), memo);
  assert.equal(formerOf([other], { text: "RUN make all" }, 0), other);
  assert.equal(formerOf([other], memo, 0), undefined);
  assert.equal(textOf("[build 2/5] RUN make"), "RUN make");
});
