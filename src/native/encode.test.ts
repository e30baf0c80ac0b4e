import assert from "node:assert/strict";
import { test } from "node:test";
import type { MonitorConfig } from "./contract.ts";
import { encodeExec, encodeMonitorConfig, encodePlan } from "./encode.ts";
import type { Operation, Plan } from "./operations.ts";

test("a plan is the header, then each half's operations with all their fields", () => {
  const plan: Plan = {
    host: [{ op: "mkdir", path: "/a", mode: 0o755 }],
    container: [{ op: "setsid" }],
    teardown: [],
    deadlineMs: 1500,
  };
  const header = "47504c31 dc050000 03000000 00000000 00000000 01000000 01000000 00000000";
  const mkdir = [
    "0100 0400 18000000", // code 1, four fields, 24 bytes
    "01 ffffffff", // root: absent
    "03 02000000 2f6100",
    "02 ed01000000000000",
    "07 00",
  ].join(" ");
  const setsid = "3900 0000 00000000";
  const wanted = `${header} ${mkdir} ${setsid}`.replaceAll(" ", "");
  assert.equal(encodePlan(plan).toString("hex"), wanted);
});

test("bigints, negative numbers, lists and patches keep their value", () => {
  const host: Operation[] = [
    { op: "capset", effective: 0xffff_ffff_ffff_ffffn, permitted: -1, inheritable: 2n ** 40n },
    { op: "setgroups", gids: [5, 4_294_967_295] },
    {
      op: "netlink",
      protocol: 12,
      data: new Uint8Array([9, 8, 7]),
      patches: [{ offset: 1, slot: 40, width: 2 }],
    },
  ];
  const hex = encodePlan({ host }).toString("hex");
  assert(hex.includes("02ffffffffffffffff02ffffffffffffffff020000000000010000"));
  assert(hex.includes("06020000000500000000000000ffffffff00000000"));
  assert(hex.includes("04030000000908070801000000010000002800000002"));
});

test("what the native program would refuse is refused here, by its operation's name", () => {
  const bad: [Operation, RegExp][] = [
    [{ op: "mkdir", path: "a\0b", mode: 0 }, /Operation mkdir has a bad "path"/],
    [{ op: "close", slot: 64 }, /Operation close has a bad "slot"/],
    [{ op: "close", slot: 1.5 }, /Operation close has a bad "slot"/],
    [{ op: "mkdir", path: "/a" } as Operation, /Operation mkdir lacks "mode"/],
  ];
  for (const [operation, message] of bad) {
    assert.throws(() => encodePlan({ host: [operation] }), { kind: "invalid", message });
  }
});

test("failAt travels in the header", () => {
  const data = encodePlan({ host: [], failAt: { half: "container", index: 7, errno: 13 } });
  assert.deepEqual(
    [8, 12, 16].map((at) => data.readInt32LE(at)),
    [1, 7, 13],
  );
});

test("the monitor's configuration starts with its length", () => {
  const config: MonitorConfig = {
    id: "c1",
    socketPath: "/s",
    exitPath: "/e",
    terminal: true,
    stdinOnce: false,
    openStdin: true,
    holdMs: 250,
    oomPath: "",
  };
  const data = encodeMonitorConfig(config);
  assert.equal(data.readUInt32LE(0), data.length - 4);
  assert.equal(data.toString("latin1", 4, 11), "\x02\0\0\0c1\0");
});

test("an exec's header stands before its plan", () => {
  const plan: Plan = { host: [], container: [], teardown: [] };
  const data = encodeExec("e1", { terminal: true, openStdin: false, holdMs: 9 }, plan);
  assert.equal(data.toString("hex", 0, 13), "0200000065310001000900000".padEnd(26, "0"));
  assert.equal(data.toString("latin1", 13, 17), "GPL1");
});
