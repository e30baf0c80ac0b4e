import assert from "node:assert/strict";
import { test } from "node:test";
import { CLONE } from "./kernel-numbers.ts";
import { namespacesOf } from "./namespaces.ts";
import { bornInside, planTime } from "./plan-joins.ts";

const of = (...namespaces: { type: string; path?: string }[]) => namespacesOf({ namespaces });
const mount = { type: "mount" };

test("new namespaces are flags of clone, but for cgroups and time; others have a path", () => {
  const all = of(mount, { type: "pid", path: "/p" }, { type: "cgroup" }, { type: "time" });
  assert.equal(all.cloneFlags, CLONE.NEWNS);
  assert.deepEqual(all.joined, [{ type: "pid", path: "/p" }]);
  assert.ok(all.isNew("time") && all.has("pid") && !all.has("uts"));
});

test("impossible namespaces are refused", () => {
  assert.throws(() => of({ type: "pid" }), /needs a mount namespace/);
  assert.throws(() => of(mount, mount), /duplicated ns "mount"/);
  assert.throws(() => of(mount, { type: "hasOwnProperty" }), /does not exist/);
  assert.throws(() => of(mount, { type: "uts", path: "x" }), /not absolute/);
  const offsets = { boottime: { secs: 1 } };
  const time = (path?: string) => [mount, { type: "time", ...(path && { path }) }];
  assert.throws(
    () => namespacesOf({ namespaces: [mount], timeOffsets: offsets }),
    /time namespace/,
  );
  assert.throws(() => namespacesOf({ namespaces: time("/t"), timeOffsets: offsets }), /new time/);
  const realtime = { realtime: { secs: 1 } };
  assert.throws(() => namespacesOf({ namespaces: time(), timeOffsets: realtime }), /no clock/);
  const set = namespacesOf({ namespaces: time(), timeOffsets: offsets });
  assert.equal(planTime(set, { timeOffsets: offsets }).length, 2);
});

test("a user namespace is joined last, a mount namespace right before it", () => {
  const joined = ["user", "mount", "network"].map((type, slot) => {
    return { type: type as "user", path: "/x", slot };
  });
  const { inside, container } = bornInside(joined);
  assert.deepEqual(inside, [2, CLONE.NEWNET, 1, CLONE.NEWNS, 0, CLONE.NEWUSER]);
  assert.deepEqual(
    container.map(({ op }) => op),
    ["close", "close", "close"],
  );
});
