import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compose,
  firstFree,
  mapAround,
  mapInARow,
  needed,
  outside,
  requireMapped,
  subtract,
} from "./id-ranges.ts";

const range = (start: number, size: number) => ({ start, size });
const line = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

test("what is taken is cut out of ranges, wherever it lies", () => {
  const pool = [range(100, 10), range(200, 10)];
  assert.deepEqual(subtract(pool, []), pool);
  assert.deepEqual(subtract(pool, [range(95, 7), range(205, 1)]), [
    range(102, 8),
    range(200, 5),
    range(206, 4),
  ]);
  assert.deepEqual(subtract(pool, [range(0, 1000)]), []);
  assert.deepEqual(subtract(pool, [range(208, 5), range(203, 2), range(204, 2)]), [
    range(100, 10),
    range(200, 3),
    range(206, 2),
  ]);
});

test("the first gap that is large enough is given", () => {
  const pool = [range(100, 10), range(200, 100)];
  assert.deepEqual(firstFree(pool, [], 10), range(100, 10));
  assert.deepEqual(firstFree(pool, [range(100, 1)], 10), range(200, 10));
  assert.deepEqual(firstFree(pool, [range(100, 10), range(200, 50)], 50), range(250, 50));
  assert.equal(firstFree(pool, [range(210, 50)], 50), undefined);
});

test("several ranges follow one another inside", () => {
  assert.deepEqual(mapInARow([range(5000, 10), range(100, 5)]), [
    line(0, 5000, 10),
    line(10, 100, 5),
  ]);
});

test("what is mapped by hand stays, all else comes from the range", () => {
  const given = [line(1000, 7, 1), line(0, 3, 2)];
  assert.equal(needed(given, 2000), 1997);
  assert.deepEqual(mapAround(given, 2000, 50_000), [
    line(0, 3, 2),
    line(2, 50_000, 998),
    line(1000, 7, 1),
    line(1001, 50_998, 999),
  ]);
  // Beyond the size: one more.
  assert.deepEqual(mapAround([line(5000, 7, 1)], 10, 100), [line(0, 100, 10), line(5000, 7, 1)]);
});

test("no id outside is mapped twice, for any maps by hand", () => {
  for (let seed = 1; seed < 200; seed++) {
    const at = (n: number) => (seed * 7919 * n) % 900;
    const given = [line(at(1), 1, 10), line(at(1) + 10 + at(2), 20, 1 + (seed % 30))];
    const map = mapAround(given, 1000, 5000);
    const seen = new Set<number>();
    for (let id = 0; id < 1000; id++) {
      const host = outside(map, id);
      assert.ok(host !== undefined && !seen.has(host), `${id} of seed ${seed}`);
      seen.add(host);
    }
  }
});

test("maps are put one after the other; what either lacks is mapped nowhere", () => {
  const shift = [line(0, 33, 1), line(1, 1, 32), line(34, 34, 100)];
  const users = [line(0, 100_000, 50)];
  const both = compose(shift, users);
  assert.equal(outside(both, 0), 100_033);
  assert.equal(outside(both, 5), 100_005);
  assert.equal(outside(both, 33), undefined);
  assert.equal(outside(both, 49), 100_049);
  assert.equal(outside(both, 50), undefined);
});

test("a user that the namespace does not have is told of, with the remedy", () => {
  const maps = { uid: [line(0, 100, 10)], gid: [line(0, 100, 20)] };
  requireMapped(maps, { uid: 9, gid: 19, additionalGids: [3] });
  assert.throws(() => requireMapped({ ...maps, taken: {} }, { uid: 10, gid: 0 }), {
    kind: "invalid",
    message:
      "user 10 is not in the container's user namespace, which has 0 to 9: " +
      "use --userns=auto:size=11",
  });
  assert.throws(() => requireMapped(maps, { uid: 0, gid: 0, additionalGids: [20] }), /group 20/);
});
