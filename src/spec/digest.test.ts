import assert from "node:assert/strict";
import { test } from "node:test";
import { chainIds, digestOf, hexOf, isDigest, parseDigest } from "./digest.ts";

test("a digest is sha256 and 64 digits, and nothing else passes for one", () => {
  const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assert.equal(digestOf(""), empty);
  assert.equal(parseDigest(empty), empty);
  assert.equal(hexOf(empty).length, 64);
  for (const bad of ["", "sha256:", "sha256:../../etc", empty.toUpperCase(), `${empty}0`, 7]) {
    assert.throws(() => parseDigest(bad), { kind: "invalid" });
  }
  assert(!isDigest(`${empty}\n`));
});

test("chain ids fold each layer into the one before", () => {
  const [a, b] = [digestOf("a"), digestOf("b")];
  assert.deepEqual(chainIds([]), []);
  assert.deepEqual(chainIds([a, b]), [a, digestOf(`${a} ${b}`)]);
});
