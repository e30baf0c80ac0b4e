import assert from "node:assert/strict";
import { test } from "node:test";
import { unitProperties } from "./unit-properties.ts";

const of = (file: string, value: string) => unitProperties([{ file, value }]);

test("limits become properties of the unit", () => {
  assert.deepEqual(of("memory.max", "1048576"), [["MemoryMax", "t", 1048576n]]);
  assert.deepEqual(of("memory.swap.max", "max"), [["MemorySwapMax", "t", 2n ** 64n - 1n]]);
  assert.deepEqual(of("pids.max", "7"), [["TasksMax", "t", 7n]]);
  assert.deepEqual(of("io.weight", "default 300"), [["IOWeight", "t", 300n]]);
});

test("a quota is told of a second, in whole percents of a CPU", () => {
  const [most, period] = of("cpu.max", "12345 50000");
  assert.deepEqual(most, ["CPUQuotaPerSecUSec", "t", 250_000n]);
  assert.deepEqual(period, ["CPUQuotaPeriodUSec", "t", 50_000n]);
  assert.equal(of("cpu.max", "max 100000")[0]![2], 2n ** 64n - 1n);
});

test("CPUs and memory nodes are bit masks", () => {
  assert.deepEqual(of("cpuset.cpus", "0-2,9"), [["AllowedCPUs", "ay", Buffer.from([7, 2])]]);
  assert.deepEqual(of("cpuset.mems", "0"), [["AllowedMemoryNodes", "ay", Buffer.from([1])]]);
});

test("what has no property is only ours", () => {
  assert.deepEqual(of("cpu.max.burst", "100"), []);
  assert.deepEqual(of("io.weight", "8:0 300"), []);
  assert.deepEqual(of("hugetlb.2MB.max", "0"), []);
});
