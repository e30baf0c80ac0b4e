import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFacts } from "./facts.ts";

const FACTS = {
  version: 1,
  containerId: "ab".repeat(32),
  externals: [{ target: "/data" }, { target: "/sys/fs/cgroup/pids", cgroup: "/sys/fs/cgroup/x" }],
  pipes: { stdout: "pipe:[12]", stderr: "pipe:[13]" },
  network: "4026531840",
};
const parse = (facts: unknown) => parseFacts(JSON.stringify(facts));

test("a checkpoint of a stranger names no place outside what the container has", () => {
  assert.deepEqual(parse(FACTS), FACTS);
  for (const wrong of [
    { externals: [{ target: "/data/../../etc" }] },
    { externals: [{ target: "data" }] },
    { externals: [{ target: 7 }] },
    { externals: [null] },
    { externals: [{ target: "/a", cgroup: "/sys/fs/cgroup/../../etc" }] },
    { pipes: { stdout: "file[/etc/shadow]" } },
    { network: "1]:x" },
    { containerId: "" },
  ]) {
    assert.throws(() => parse({ ...FACTS, ...wrong }), /make no sense/, JSON.stringify(wrong));
  }
  assert.throws(() => parse({ ...FACTS, version: 2 }), /another version/);
  assert.throws(() => parse(null), /another version/);
});
