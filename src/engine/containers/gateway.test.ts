import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";
import { again, endpointNames, gatewayOf, partOf } from "./gateway.ts";
import type { ContainerRecord } from "./record.ts";

const network = (Name: string, more: Partial<Network> = {}): Network => ({
  Id: `id-of-${Name}`,
  Name,
  Driver: "bridge",
  EnableIPv4: true,
  EnableIPv6: false,
  Internal: false,
  IPAM: { Driver: "default" },
  ...more,
});
const on = (NetworkMode: string, priorities: Record<string, number>): ContainerRecord =>
  ({
    hostConfig: { NetworkMode },
    endpoints: Object.fromEntries(
      Object.entries(priorities).map(([name, GwPriority]) => [name, { GwPriority }]),
    ),
  }) as unknown as ContainerRecord;

test("the highest priority leads out, then the main network, then the one joined first", () => {
  const nets = [network("b"), network("a"), network("c")];
  assert.equal(gatewayOf(on("b", { b: 0, a: 0, c: 0 }), nets, 4)?.Name, "b");
  assert.equal(gatewayOf(on("b", { b: 0, a: 1, c: 1 }), nets, 4)?.Name, "a");
  assert.equal(gatewayOf(on("b", { b: 0, a: -1, c: 7 }), nets, 4)?.Name, "c");
  const engine = { network: { describe: () => nets } } as unknown as EngineContext;
  const ordered = on("id-of-b", { c: 0, a: 0, b: 0 });
  assert.deepEqual(endpointNames(engine, ordered), ["b", "c", "a"], "whatever its reference");
});

test("internal networks and those without the family lead nowhere", () => {
  const inner = network("inner", { Internal: true });
  const four = network("four");
  const six = network("six", { EnableIPv4: false, EnableIPv6: true });
  const dhcp = network("dhcp", { IPAM: { Driver: "null" } });
  const c = on("inner", { inner: 9, four: 0, six: 1, dhcp: 9 });
  const all = [inner, four, six, dhcp];
  assert.deepEqual(partOf(c, four, all), { gatewayOf: [4], publishes: true });
  assert.deepEqual(partOf(c, six, all), { gatewayOf: [6], publishes: false });
  assert.deepEqual(partOf(c, inner, all), { gatewayOf: [], publishes: false });
  assert.deepEqual(partOf(c, six, [inner, six]), { gatewayOf: [6], publishes: true });
  assert.equal(gatewayOf(c, [inner, dhcp], 4), undefined);
});

test("ports that move keep the host ports that they were given", () => {
  const request = { containerPort: 80, protocol: "tcp" as const, hostIp: "" };
  const had = [
    { containerPort: 80, protocol: "tcp" as const, hostIp: "0.0.0.0", hostPort: 32768 },
    { containerPort: 80, protocol: "tcp" as const, hostIp: "::", hostPort: 32768 },
    { containerPort: 80, protocol: "tcp" as const, hostIp: "0.0.0.0", hostPort: 32769 },
    { containerPort: 80, protocol: "tcp" as const, hostIp: "::", hostPort: 32769 },
  ];
  const any = { ...request, hostPort: 0, hostPortEnd: 0 };
  assert.deepEqual(
    again([any, any], had).map(({ hostPort, hostPortEnd }) => [hostPort, hostPortEnd]),
    [
      [32768, 32768],
      [32769, 32769],
    ],
  );
  const range = { ...request, hostPort: 8000, hostPortEnd: 8010 };
  assert.deepEqual(again([range], had), [range], "a port outside of the range is not the same");
});
