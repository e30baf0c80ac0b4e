import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cgroups, type Group, groupTree } from "./fetch.ts";
import { topLines } from "./top-lines.ts";

function group(path: string, cpu: number, more: Partial<Group> = {}): Group {
  return {
    Path: path,
    Cpu: { UsageNanoseconds: cpu, ThrottledNanoseconds: 0, LimitCpus: 0.5, Weight: null },
    Memory: { UsageBytes: 300, LimitBytes: 1000, CacheBytes: 100, SwapBytes: 0, OomKills: 0 },
    Io: { ReadBytes: cpu / 1e6, WriteBytes: 0 },
    Pids: { Current: 1, Limit: null },
    Pressure: { Cpu: null, Memory: null, Io: null },
    ...more,
  };
}
const named = (Name: string) => ({
  Container: { Id: "1", Name, Image: "app", State: "running", Labels: {} },
});
const answer = (Time: number, Groups: Group[]): Cgroups => ({
  ...{ Version: 2, Parent: "/gantry", Time, Groups, Truncated: false },
  Host: { MemoryBytes: 10_000, Cpus: 2, Pressure: { Cpu: null, Memory: null, Io: null } },
});
const select = ({ Groups }: Cgroups) => Groups;

test("rates come from two samples, shares from the limits", () => {
  const before = answer(0, [group("/gantry/a", 0, named("web"))]);
  const now = answer(2e9, [group("/gantry/a", 1e9, named("web")), group("/gantry/a/in", 0)]);
  const [web, inner] = topLines(before, now, { select, sort: "cpu" });
  assert.equal(web?.cpuPercent, 50);
  assert.equal(web?.cpuOfLimit, 100);
  assert.equal(web?.memoryOfLimit, 20);
  assert.equal(web?.readPerSecond, 500);
  assert.equal(inner?.name, "web/in");
  assert.equal(inner?.cpuPercent, null, "there is no rate of what was only just made");
});

test("groups stand beneath the groups that hold them", () => {
  const roots = groupTree([group("/gantry", 0), group("/gantry/a", 0), group("/gantry/a/b/c", 0)]);
  assert.equal(roots.length, 1);
  assert.equal(roots[0]?.children[0]?.children[0]?.group.Path, "/gantry/a/b/c");
});
