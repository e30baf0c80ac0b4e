import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciMount, OciSpec } from "../../spec/index.ts";
import type { CgroupPlace } from "./places.ts";
import { planCgroupOwner } from "./plan-owner.ts";

const place = (version: 1 | 2, controllers: string[]): CgroupPlace => ({
  ...{ version, controllers, mount: "/sys/fs/cgroup", path: "/sys/fs/cgroup/box", ancestors: [] },
});
const spec = (options: string[], namespaces = [{ type: "cgroup" }]): OciSpec => ({
  ociVersion: "1.3.0",
  mounts: [{ destination: "/sys/fs/cgroup", type: "cgroup", options } satisfies OciMount],
  linux: { namespaces },
});
const owned = (places: CgroupPlace[], of: OciSpec, uid = 100_000) =>
  planCgroupOwner(places, of, uid).map((o) => (o.op === "chown" ? [o.path, o.uid] : []));

test("a writable cgroup of its own belongs to the container's user, limits do not", () => {
  assert.deepEqual(owned([place(2, ["memory", "pids"])], spec(["rw", "nosuid"])), [
    ["/sys/fs/cgroup/box", 100_000],
    ["/sys/fs/cgroup/box/cgroup.procs", 100_000],
    ["/sys/fs/cgroup/box/cgroup.threads", 100_000],
    ["/sys/fs/cgroup/box/cgroup.subtree_control", 100_000],
    ["/sys/fs/cgroup/box/memory.oom.group", 100_000],
  ]);
  assert.equal(owned([place(2, ["pids"])], spec([])).length, 4, "no file of a missing controller");
});

test("it stays the host's on v1, read-only, for root, and without a namespace of its own", () => {
  assert.deepEqual(owned([place(1, ["memory"]), place(2, [])], spec(["rw"])), []);
  assert.deepEqual(owned([place(2, ["memory"])], spec(["ro"])), []);
  assert.deepEqual(owned([place(2, ["memory"])], spec(["rw"]), 0), []);
  assert.deepEqual(owned([place(2, ["memory"])], spec(["rw"], [])), []);
});
