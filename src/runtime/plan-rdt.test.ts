import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { planRdt, planRdtExec, planRdtRemove, planRdtUpdate, type RdtState } from "./plan-rdt.ts";

type IntelRdt = NonNullable<OciLinux["intelRdt"]>;
const bare: RdtState = { mount: "/rdt" };
const decode = (data: Uint8Array) => new TextDecoder().decode(data);

function shown(operation: Operation): string {
  if (operation.op === "write") return `${operation.path} < ${decode(operation.data)}`;
  return "path" in operation ? `${operation.op} ${operation.path}` : operation.op;
}
const lines = (rdt: IntelRdt, state = bare) => {
  const { make, enter, teardown } = planRdt(rdt, "box", state);
  return [...make, ...enter, ...teardown].map(shown);
};

test("a class of the container's own is made, limited, entered and removed", () => {
  const rdt = {
    l3CacheSchema: "L3:0=f\nMB:0=90",
    memBwSchema: "MB:0=20;1=70",
    schemata: ["L2:0=3"],
  };
  assert.deepEqual(lines(rdt), [
    "mkdir /rdt/box",
    "/rdt/box/schemata < L3:0=f\nMB:0=20;1=70\nL2:0=3\n",
    "writeSlot /rdt/box/tasks",
    "rmdir /rdt/box",
  ]);
  assert.deepEqual(lines({}), ["mkdir /rdt/box", "writeSlot /rdt/box/tasks", "rmdir /rdt/box"]);
  assert.deepEqual(lines({ closID: "gold", schemata: ["MB:0=50"] }), [
    ...["mkdir /rdt/gold", "/rdt/gold/schemata < MB:0=50\n"],
    "writeSlot /rdt/gold/tasks",
  ]);
  const gold = planRdt({ closID: "gold", schemata: ["MB:0=50"] }, "box", bare).place;
  assert.deepEqual(planRdtRemove(gold).map(shown), ["rmdir /rdt/gold"]);
});

test("a class that is there is shared, and neither changed nor removed", () => {
  const state = { mount: "/rdt", schemata: "    L3:0=7f0;1=01f\n    MB:0= 20;1=  70\n" };
  assert.deepEqual(lines({ closID: "gold" }, state), ["writeSlot /rdt/gold/tasks"]);
  const same = { closID: "gold", l3CacheSchema: "L3:0=7f0;1=1f", memBwSchema: "MB:0=20;1=70" };
  assert.deepEqual(lines(same, state), ["writeSlot /rdt/gold/tasks"]);
  const other = { ...same, memBwSchema: "MB:0=20;1=60" };
  assert.throws(() => lines(other, state), /"gold" exists and is not "MB:0=20;1=60"/);
  assert.throws(() => lines({ schemata: ["MB:0=1"] }, state), /a class "box" exists already/);
});

test("monitoring is a group within the class, also within the root's", () => {
  const state = { mount: "/rdt", schemata: "MB:0=100\n" };
  assert.deepEqual(lines({ closID: "/", enableMonitoring: true }, state), [
    "mkdir /rdt/mon_groups/box",
    "writeSlot /rdt/tasks",
    "writeSlot /rdt/mon_groups/box/tasks",
    "rmdir /rdt/mon_groups/box",
  ]);
  assert.deepEqual(lines({ enableMonitoring: true }).at(-1), "rmdir /rdt/box");
});

test("an exec enters by itself, an update writes to the class", () => {
  const { place } = planRdt({ enableMonitoring: true }, "box", bare);
  const exec = planRdtExec(place).map(shown);
  assert.deepEqual(exec, ["/rdt/box/tasks < 0", "/rdt/box/mon_groups/box/tasks < 0"]);
  const update = planRdtUpdate(place, { memBwSchema: "MB:0=30" }).map(shown);
  assert.deepEqual(update, ["/rdt/box/schemata < MB:0=30\n"]);
});

test("what cannot be a class, and a host without resctrl, are refused", () => {
  const of = (rdt: IntelRdt) => () => planRdt(rdt, "box", bare);
  assert.throws(() => planRdt({}, "box", undefined), /no resctrl file system is mounted/);
  for (const closID of ["", "..", "a/b", "info"]) assert.throws(of({ closID }), /invalid intelRdt/);
  assert.throws(of({ closID: "gold" }), /the class "gold" does not exist/);
  assert.throws(of({ memBwSchema: "L3:0=1" }), /intelRdt.memBwSchema/);
  assert.throws(of({ schemata: ["L3:0=1\nMB:0=1"] }), /intelRdt.schemata/);
  assert.throws(of({ l3CacheSchema: "0=1" }), /intelRdt.l3CacheSchema/);
});
