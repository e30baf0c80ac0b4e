// Golden tests: the very bytes that the kernel is given, a line of 32-bit words a message, slots in
// angle brackets. They were compared with what ip(8) and nft(8) send when they were written.

import assert from "node:assert/strict";
import { test } from "node:test";
import { planFirewall } from "./firewall.ts";
import { planAddEndpoint, planAddNetwork } from "./firewall-elements.ts";
import {
  dumpMessages,
  NetlinkWriter,
  readAttributes,
  readMessages,
  readString,
} from "./netlink-message.ts";
import { RouteWriter } from "./rtnetlink.ts";

test("a veth pair is made with its inner end inside the namespace of a slot", () => {
  const writer = new RouteWriter().addVeth({
    name: "veth1",
    mtu: 1400,
    peer: { name: "eth0", netns: 7, mac: "02:42:ac:11:00:02" },
  });
  assert.deepEqual(dumpMessages(writer.finish()).split("\n"), [
    "84000000 10000506 01000000 00000000 00000000 00000000 00000000 01000000 0a000300 " +
      "76657468 31000000 08000400 78050000 50001280 09000100 76657468 00000000 40000280 " +
      "3c000180 00000000 00000000 00000000 01000000 09000300 65746830 00000000 08000400 " +
      "78050000 0a000100 0242ac11 00020000 08001c00 <7>",
  ]);
});

test("an address and the default route name the interface by its slot", () => {
  const link = { slot: 41 };
  const writer = new RouteWriter()
    .addAddress(link, "172.17.0.2", 16)
    .addRoute({ link, family: 4, gateway: "172.17.0.1" });
  assert.deepEqual(dumpMessages(writer.finish()).split("\n"), [
    "30000000 14000505 01000000 00000000 02100000 <41> 08000200 ac110002 08000100 " +
      "ac110002 08000400 ac11ffff",
    "2c000000 18000505 02000000 00000000 02000000 fe030001 00000000 08000400 <41> " +
      "08000500 ac110001",
  ]);
});

test("flags of a bridge port go to the port's master", () => {
  const writer = new RouteWriter().setBridgePort("veth1", { hairpin: true, isolated: false });
  assert.deepEqual(dumpMessages(writer.finish()).split("\n"), [
    "50000000 10000500 01000000 00000000 00000000 00000000 00000000 00000000 0a000300 " +
      "76657468 31000000 24001280 0b000400 62726964 67650000 14000580 05000400 01000000 " +
      "05002100 00000000",
  ]);
});

test("published ports are elements of a map, all families in one transaction", () => {
  const forwardings = [
    { protocol: "tcp", hostIp: "0.0.0.0", hostPort: 8080, address: "172.17.0.2", port: 80 },
    { protocol: "udp", hostIp: "::", hostPort: 53, address: "fd00::2", port: 53 },
  ] as const;
  const data = planAddEndpoint("t", { forwardings, openings: [] });
  assert.deepEqual(dumpMessages(data).split("\n"), [
    "14000000 10000100 01000000 00000000 0000000a",
    "50000000 0c0a0504 02000000 00000000 01000000 06000100 74000000 09000200 616e7934 " +
      "00000000 28000380 24000180 10000180 0c000100 06000000 1f900000 10000280 0c000100 " +
      "ac110002 00500000",
    "5c000000 0c0a0504 03000000 00000000 01000000 06000100 74000000 09000200 616e7936 " +
      "00000000 34000380 30000180 10000180 0c000100 11000000 00350000 1c000280 18000100 " +
      "fd000000 00000000 00000000 00000002 00350000",
    "14000000 11000100 04000000 00000000 0000000a",
  ]);
});

test("a network is a few elements, whatever the others are", () => {
  const data = planAddNetwork("t", {
    bridge: "b0",
    subnets: ["10.1.0.0/16"],
    masquerade: true,
    icc: true,
    internal: false,
  });
  assert.deepEqual(dumpMessages(data).split("\n"), [
    "14000000 10000100 01000000 00000000 0000000a",
    "48000000 0c0a0504 02000000 00000000 01000000 06000100 74000000 0c000200 62726964 " +
      "67657300 20000380 1c000180 18000180 14000100 62300000 00000000 00000000 00000000",
    "54000000 0c0a0504 03000000 00000000 01000000 06000100 74000000 08000200 69636300 " +
      "30000380 2c000180 28000180 24000100 62300000 00000000 00000000 00000000 62300000 " +
      "00000000 00000000 00000000",
    "68000000 0c0a0504 04000000 00000000 01000000 06000100 74000000 09000200 6f776e34 " +
      "00000000 40000380 3c000180 1c000180 18000100 0a010000 62300000 00000000 00000000 " +
      "00000000 1c000a80 18000100 0a01ffff 62300000 00000000 00000000 00000000",
    "54000000 0c0a0504 05000000 00000000 01000000 06000100 74000000 0a000200 6d617371 " +
      "34000000 2c000380 10000180 0c000180 08000100 0a010000 18000180 08000300 00000001 " +
      "0c000180 08000100 0a020000",
    "14000000 11000100 06000000 00000000 0000000a",
  ]);
});

test("the number of rules does not grow with networks and ports", () => {
  const NEWRULE = (10 << 8) | 6;
  const rules = (networks: number, ports: number): number => {
    const data = planFirewall(
      "t",
      { families: [4, 6], forwards: true, guards: [] },
      Array.from({ length: networks }, (_, n) => ({
        bridge: `b${n}`,
        subnets: [`10.${n}.0.0/16`],
        masquerade: true,
        icc: true,
        internal: false,
      })),
      Array.from({ length: ports }, (_, n) => ({
        forwardings: [
          {
            protocol: "tcp" as const,
            hostIp: "0.0.0.0",
            hostPort: 1000 + n,
            address: "10.0.0.2",
            port: 1000 + n,
          },
        ],
        openings: [],
      })),
    );
    return readMessages(data.data).filter(({ type }) => type === NEWRULE).length;
  };
  assert.equal(rules(100, 5000), rules(1, 0));
});

test("what is written is read back, and a truncated answer ends the reading", () => {
  const { data } = new NetlinkWriter()
    .message(16, 0, () => {})
    .message(17, 0, () => {})
    .finish();
  assert.deepEqual(
    readMessages(data).map(({ type }) => type),
    [16, 17],
  );
  assert.equal(readMessages(data.subarray(0, 20)).length, 1);
  const writer = new NetlinkWriter();
  writer.attrString(3, "eth0").nest(18, () => writer.attrU32(1, 7));
  const attributes = readAttributes(writer.finish().data);
  assert.equal(readString(attributes.get(3)), "eth0");
  assert.equal(readAttributes(attributes.get(18)!).get(1)?.[0], 7);
});
