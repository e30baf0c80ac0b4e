import assert from "node:assert/strict";
import { test } from "node:test";
import { checkIdMap, checkUserMaps, parseIdMap } from "./id-maps.ts";

const range = (containerID: number, hostID: number, size: number) => {
  return { containerID, hostID, size };
};

test("ranges may be many and in any order, but may not overlap on either side", () => {
  checkIdMap([range(50, 1000, 10), range(0, 5000, 50), range(60, 1010, 5)], "map");
  checkIdMap([range(0, 0, 2 ** 32 - 1)], "map");
  const bad: [ReturnType<typeof range>[], RegExp][] = [
    [[range(0, 10, 5), range(4, 20, 5)], /overlap at containerID 4/],
    [[range(0, 10, 5), range(100, 14, 5)], /overlap at hostID 14/],
    [[range(0, 10, 0)], /is empty/],
    [[range(1, 10, 2 ** 32 - 1)], /beyond the last id/],
    [[range(0.5, 10, 1)], /is no range/],
    [[range(Number.NaN, 10, 1)], /is no range/],
    [Array.from({ length: 400 }, (_, i) => range(i, i, 1)), /400 ranges/],
  ];
  for (const [ranges, says] of bad) assert.throws(() => checkIdMap(ranges, "map"), says);
});

test("maps belong to a user namespace, and a new one needs them", () => {
  const map = { uidMappings: [range(0, 1, 1)], gidMappings: [range(0, 1, 1)] };
  checkUserMaps(map, "new");
  checkUserMaps({}, "none");
  checkUserMaps({}, "joined");
  assert.throws(() => checkUserMaps(map, "none"), /isn't enabled/);
  assert.throws(() => checkUserMaps({ gidMappings: map.gidMappings }, "new"), /no uid mappings/);
  assert.throws(() => checkUserMaps({ uidMappings: map.uidMappings }, "new"), /no gid mappings/);
});

test("a map is read as the kernel shows it", () => {
  assert.deepEqual(parseIdMap("         0     100000      65536\n 70000 0 1\n"), [
    range(0, 100_000, 65_536),
    range(70_000, 0, 1),
  ]);
});
