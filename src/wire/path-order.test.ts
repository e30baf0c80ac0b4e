import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isBefore } from "./path-order.ts";

/** Components one after the other, each by its bytes. */
function compare(a: string, b: string): number {
  const [left, right] = [a.split("/"), b.split("/")];
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const order = Buffer.compare(Buffer.from(left[index]!), Buffer.from(right[index]!));
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

test("the order of paths is that of their components' bytes", () => {
  const sign = fc.constantFrom("a", "b", "-", ".", "\u0001", "é", "\ud7ff", "\uffee", "𐀀");
  const name = fc.array(sign, { minLength: 1, maxLength: 3 }).map((signs) => signs.join(""));
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  fc.assert(
    fc.property(path, path, (a, b) => {
      assert.equal(isBefore(a, b), compare(a, b) < 0);
    }),
    { numRuns: 2000 },
  );
  assert(isBefore("a/b", "a-b"));
  assert(isBefore("\uffee", "\u{10000}"));
});
