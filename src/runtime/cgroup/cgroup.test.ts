import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciDeviceRule } from "../../spec/index.ts";
import type { CgroupLayout } from "../contract.ts";
import { parseMountinfo } from "../mountinfo.ts";
import { PlanBuilder } from "../plan-builder.ts";
import { deviceProgram } from "./device-program.ts";
import { ACCESS, type DevicePolicy, devicePolicy, devicesV1 } from "./device-rules.ts";
import { cgroupLayout } from "./layout.ts";
import { cgroupPathFor, cgroupPathsOf, cgroupPlaces } from "./places.ts";
import { planCgroupCreate, planFreeze, planUpdate } from "./plan-cgroup.ts";
import { settingsV1 } from "./settings-v1.ts";
import { settingsV2, weightOfShares } from "./settings-v2.ts";

const split = `
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/odd\\040name rw - cgroup cgroup rw,memory
34 30 0:30 /docker/x /mnt/part rw - cgroup cgroup rw,pids
35 30 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
36 30 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
`;
const v1 = cgroupLayout(parseMountinfo(split), "");
const v2: CgroupLayout = {
  version: 2,
  v1: new Map(),
  v2: { path: "/sys/fs/cgroup", controllers: ["cpuset", "cpu", "io", "memory", "pids"] },
};
const hybrid: CgroupLayout = {
  version: "hybrid",
  v1: new Map([["memory", "/cg/memory"]]),
  v2: { path: "/cg/unified", controllers: ["hugetlb"] },
};

test("controllers are found by what mountinfo says, never by a folder's name", () => {
  assert.equal(v1.version, 1);
  assert.equal(v1.v1.get("memory"), "/sys/fs/cgroup/odd name");
  assert.equal(v1.v1.get("cpu"), v1.v1.get("cpuacct"));
  assert.equal(v1.v1.get("pids"), "/sys/fs/cgroup/pids");
  assert.equal(v1.v1.get("name=systemd"), "/sys/fs/cgroup/systemd");
  assert.equal(v1.v1.has("clone_children"), false);
});

test("inside a container without a cgroup namespace its own part is all there is", () => {
  const part = "34 30 0:30 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
  const { v1: found } = cgroupLayout(parseMountinfo(part), "");
  assert.equal(found.get("pids"), "/sys/fs/cgroup/pids");
});

test("co-mounted controllers share one place, and a parent cannot lead out of the hierarchy", () => {
  const places = cgroupPlaces(v1, "/gantry/../../gantry/abc");
  assert.equal(places.filter(({ controllers }) => controllers.includes("cpu")).length, 1);
  const paths = cgroupPathsOf(places);
  assert.equal(paths["cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/gantry/abc");
  assert.equal(cgroupPathFor("abc"), "/gantry/abc");
  assert.equal(cgroupPathFor("abc", "mine/sub"), "/mine/sub/abc");
  assert.throws(() => cgroupPathFor("abc", "system.slice"), /systemd/);
});

function hostOperations(layout: CgroupLayout, resources = {}, prepared = false): string[] {
  const builder = new PlanBuilder();
  const places = cgroupPlaces(layout, "/gantry/abc");
  const { limits } = planCgroupCreate(builder, places, resources, { prepared });
  return [...builder.host, ...limits].map((o) => {
    if (o.op === "write") return `${o.path}=${new TextDecoder().decode(o.data)}`;
    if (o.op === "enterCgroups") return `enter ${o.paths.join(" ")}`;
    return o.op === "mkdir" ? `mkdir ${o.path}` : o.op;
  });
}

test("a v1 cpuset inherits its cpus before it is made, so that a process may enter", () => {
  const operations = hostOperations(v1);
  const at = (text: string) => operations.indexOf(text);
  const cpuset = "/sys/fs/cgroup/cpuset";
  assert.ok(at(`${cpuset}/cgroup.clone_children=1`) < at(`mkdir ${cpuset}/gantry`));
  const inner = at(`${cpuset}/gantry/cgroup.clone_children=1`);
  const entered = operations.findIndex((text) => text.includes(`${cpuset}/gantry/abc`));
  assert.ok(inner >= 0 && inner < entered);
});

test("folders that were prepared once are left alone", () => {
  const operations = hostOperations(v1, {}, true);
  assert.match(operations[0] ?? "", /^enter .*\/pids\/gantry\/abc/);
});

test("v2 hands controllers on to each level, sets limits and loads the device program", () => {
  const resources = { memory: { limit: 1 << 26, swap: 1 << 27 }, devices: [] };
  const operations = hostOperations(v2, resources);
  assert.deepEqual(operations, [
    "/sys/fs/cgroup/cgroup.subtree_control=+cpuset +cpu +io +memory +pids",
    "mkdir /sys/fs/cgroup/gantry",
    "/sys/fs/cgroup/gantry/cgroup.subtree_control=+cpuset +cpu +io +memory +pids",
    "mkdir /sys/fs/cgroup/gantry/abc",
    "open",
    "/sys/fs/cgroup/gantry/abc/memory.swap.max=67108864",
    "/sys/fs/cgroup/gantry/abc/memory.max=67108864",
    "bpfCgroupDevice",
  ]);
});

test("a hybrid host's limits go to the hierarchy that has the controller", () => {
  const resources = { memory: { limit: 1 << 26 }, hugepageLimits: [{ pageSize: "2MB", limit: 0 }] };
  const operations = hostOperations(hybrid, resources);
  assert.ok(operations.includes("/cg/memory/gantry/abc/memory.limit_in_bytes=67108864"));
  assert.ok(operations.includes("/cg/unified/gantry/abc/hugetlb.2MB.max=0"));
  assert.throws(() => hostOperations(hybrid, { pids: { limit: 5 } }), /no pids cgroup controller/);
});

test("an update raises memory and swap in the order that the kernel takes", () => {
  const files = (limit: number, swap: number, before: { limit: number; swap: number }) =>
    settingsV1({ memory: { limit, swap } }, { memory: before }).map(({ file }) => file);
  const order = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
  assert.deepEqual(files(300, 400, { limit: 100, swap: 200 }), [...order].reverse());
  assert.deepEqual(files(50, 60, { limit: 100, swap: 200 }), order);
  const [operation] = planUpdate(v2, { "": "/sys/fs/cgroup/gantry/abc" }, { pids: { limit: -1 } });
  assert.equal(operation?.op === "write" && new TextDecoder().decode(operation.data), "max");
});

test("v1 values become their v2 counterparts", () => {
  assert.deepEqual([0, 2, 1024, 262_144].map(weightOfShares), [1, 1, 100, 10_000]);
  const lines = settingsV2({
    cpu: { quota: 50_000, shares: 512 },
    pids: { limit: 0 },
    blockIO: { weight: 1000, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] },
    unified: { "memory.high": "1G" },
  }).map(({ file, value }) => `${file}=${value}`);
  assert.deepEqual(lines, [
    "cpu.weight=59",
    "cpu.max=50000 100000",
    "pids.max=max",
    "io.weight=default 10000",
    "io.bfq.weight=default 1000",
    "io.max=8:0 rbps=1024",
    "memory.high=1G",
  ]);
  assert.throws(() => settingsV2({ unified: { "../x": "1" } }), /unified/);
});

test("freezing uses the controller that is there", () => {
  assert.equal(planFreeze({ freezer: "/f", "": "/u" }, true)[0]!.op, "write");
  const [operation] = planFreeze({ "": "/u" }, false);
  assert.equal(operation?.op === "write" && operation.path, "/u/cgroup.freeze");
  assert.throws(() => planFreeze({ memory: "/m" }, true), /no cgroup freezer/);
});

const dockerRules: OciDeviceRule[] = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 1, access: "rwm" },
  { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
];

test("device rules become the lines of the v1 controller", () => {
  const lines = devicesV1(devicePolicy(dockerRules)).map(({ file, value }) => `${file} ${value}`);
  assert.equal(lines[0], "devices.deny a");
  assert.ok(lines.includes("devices.allow c 5:1 rwm"));
  assert.ok(lines.includes("devices.allow c *:* m"));
  assert.ok(lines.includes("devices.allow c 136:* rwm"));
  const open = devicesV1(devicePolicy([{ allow: true, access: "rwm" }], false));
  assert.deepEqual(open, [{ file: "devices.allow", value: "a" }]);
});

/** Runs the few eBPF instructions that the compiler uses. */
function decide(
  policy: DevicePolicy,
  type: "b" | "c",
  major: number,
  minor: number,
  access: number,
) {
  const code = new DataView(deviceProgram(policy).buffer);
  const context = [(type === "b" ? 1 : 2) | (access << 16), major, minor];
  const r = new Array<number>(11).fill(0);
  for (let pc = 0; ; pc++) {
    const op = code.getUint8(pc * 8);
    const dst = code.getUint8(pc * 8 + 1) & 15;
    const src = code.getUint8(pc * 8 + 1) >> 4;
    const offset = code.getInt16(pc * 8 + 2, true);
    const k = code.getInt32(pc * 8 + 4, true);
    if (op === 0x61) r[dst] = context[offset / 4]!;
    else if (op === 0xbc) r[dst] = r[src]!;
    else if (op === 0xb7) r[dst] = k;
    else if (op === 0x54) r[dst] = r[dst]! & k;
    else if (op === 0x74) r[dst] = r[dst]! >>> k;
    else if (op === 0x56) pc += r[dst] !== k ? offset : 0;
    else if (op === 0x16) pc += r[dst] === k ? offset : 0;
    else if (op === 0x5e) pc += r[dst] !== r[src] ? offset : 0;
    else if (op === 0x95) return r[0] === 1;
    else assert.fail(`instruction ${op}`);
  }
}

test("the v2 device program decides as the v1 controller does", () => {
  const policy = devicePolicy(dockerRules);
  const { r, w, m } = ACCESS;
  assert.equal(decide(policy, "c", 1, 3, r | w), true);
  assert.equal(decide(policy, "c", 136, 77, r | w), true);
  assert.equal(decide(policy, "b", 8, 0, m), true);
  assert.equal(decide(policy, "b", 8, 0, r), false);
  assert.equal(decide(policy, "c", 10, 229, r), false);
  const partly = devicePolicy([{ allow: true, type: "c", major: 9, minor: 9, access: "r" }], false);
  assert.equal(decide(partly, "c", 9, 9, r), true);
  assert.equal(decide(partly, "c", 9, 9, r | w), false);
  const open = devicePolicy(
    [
      { allow: true, access: "rwm" },
      { allow: false, type: "b", major: 8, access: "w" },
    ],
    false,
  );
  assert.equal(decide(open, "b", 8, 3, r), true);
  assert.equal(decide(open, "b", 8, 3, r | w), false);
});
