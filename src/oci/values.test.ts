import assert from "node:assert/strict";
import { test } from "node:test";
import { type FlagTable, parseRuncFlags } from "./flags.ts";
import { parseNumber, parseSize } from "./sizes.ts";
import { cpuList, keyed } from "./stats.ts";
import { subCgroups } from "./sub-cgroups.ts";

const TABLE: FlagTable = {
  detach: { kind: "bool", short: "d", about: "" },
  env: { kind: "list", short: "e", about: "" },
  gids: { kind: "ints", short: "g", about: "" },
  interval: { kind: "duration", about: "" },
};

test("flags stand before the first argument, with one dash or two", () => {
  const argv = ["-d=false", "--env", "A=1", "-e", "B=2", "-gids=3", "-g", "4", "id", "-d"];
  const { values, args } = parseRuncFlags(TABLE, argv);
  assert.equal(values.flag("detach"), false);
  assert.deepEqual(values.list("env"), ["A=1", "B=2"]);
  assert.deepEqual(values.ints("gids"), [3, 4]);
  assert.deepEqual(args, ["id", "-d"]);
  assert.deepEqual(parseRuncFlags(TABLE, ["--", "-d"]).args, ["-d"]);
});

test("durations are those of Go", () => {
  const of = (text: string) =>
    parseRuncFlags(TABLE, ["--interval", text]).values.duration("interval", 1);
  assert.deepEqual(["5s", "1m30s", "1.5h", "20ms", "0"].map(of), [5e9, 90e9, 5400e9, 2e7, 0]);
  for (const bad of ["5", "s", "5 s", "1s2"]) assert.throws(() => of(bad), /parse error/);
});

test("sizes have units of 1024, numbers have a range", () => {
  const sizes = ["512", "1k", "64M", "1.5g", "2GiB", "3 kb", "-1"].map((text) =>
    parseSize("memory", text),
  );
  assert.deepEqual(sizes, [512, 1024, 64 << 20, 1.5 * 2 ** 30, 2 ** 31, 3072, -1]);
  for (const bad of ["", "-2", "5x", "1ib", "k", "99999999p"]) {
    assert.throws(() => parseSize("memory", bad), /invalid value for memory: invalid size/);
  }
  assert.equal(parseNumber("cpu-quota", "-1", { signed: true }), -1);
  assert.throws(
    () => parseNumber("cpu-share", "-1", { signed: false }),
    /ParseUint.*invalid syntax/,
  );
  const huge = "99999999999999999999";
  assert.throws(() => parseNumber("cpu-quota", huge, { signed: true }), /value out of range/);
});

test("a cgroup of an exec stays within the container's own", () => {
  const paths = { cpu: "/c/cpu/box", pids: "/c/pids/box" };
  assert.deepEqual(subCgroups(paths, []), paths);
  assert.deepEqual(subCgroups(paths, ["a"]), { cpu: "/c/cpu/box/a", pids: "/c/pids/box/a" });
  assert.deepEqual(subCgroups(paths, ["pids:/a/../b"]), { ...paths, pids: "/c/pids/box/b" });
  for (const bad of ["..", "../box2", "pids:../other", "a/../../.."]) {
    assert.throws(() => subCgroups(paths, [bad]), /is not a sub cgroup path/);
  }
});

test("the kernel's lists and keys are read", () => {
  assert.deepEqual(cpuList("0-2,4\n"), [0, 1, 2, 4]);
  assert.deepEqual(cpuList("\n"), []);
  assert.equal(keyed("a 1\nb 18446744073709551615\n").get("b"), "18446744073709551615");
});
