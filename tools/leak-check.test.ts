// Which cgroups are other processes' doing, told from the lines of their /proc files.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HostState, placesOfOthers, strays } from "./leak-check.ts";

const MEMBERSHIPS = `4:memory:/machine/jobs/17
3:cpu:/machine/jobs/17
2:pids:/
1:cpuset:/one
0::/
4:memory:/machine/jobs/18
`;

test("others have their cgroups where their processes were, never at the root", () => {
  assert.deepEqual(placesOfOthers(MEMBERSHIPS), ["/machine/jobs/"]);
});

test("what is new is a stray, but for cgroups of others", () => {
  const before: HostState = {
    ...{ mounts: ["/ on /"], cgroups: ["/c/memory/a"], interfaces: ["lo"] },
    placesOfOthers: placesOfOthers(MEMBERSHIPS),
  };
  const after: HostState = {
    ...{ mounts: ["/ on /", "/ on /mnt"], interfaces: ["lo"], placesOfOthers: [] },
    cgroups: ["/c/memory/a", "/c/memory/a/b", "/c/memory/machine/jobs/19"],
  };
  assert.deepEqual(strays(before, after), ["mount / on /mnt", "cgroup /c/memory/a/b"]);
});
