import assert from "node:assert/strict";
import { test } from "node:test";
import type { AttachmentRecord, PublishedPort, PublishRequest } from "./contract.ts";
import { exposureOf, rulesOf } from "./endpoint-rules.ts";
import { isLoopback, readListeners } from "./listeners.ts";
import type { NetworkRecord } from "./network-record.ts";
import { parseMark } from "./options.ts";
import { eachPort, rowsOf, subtractPorts } from "./port-ranges.ts";

const request = (containerPort: number, hostPort: number, more = {}): PublishRequest => ({
  containerPort,
  protocol: "tcp",
  hostIp: "",
  hostPort,
  hostPortEnd: hostPort,
  ...more,
});
const port = (hostPort: number, count?: number): PublishedPort => ({
  containerPort: hostPort + 1000,
  protocol: "tcp",
  hostIp: "0.0.0.0",
  hostPort,
  ...(count && { count }),
});

test("requests in a row on both sides are one, whatever their order", () => {
  const rows = rowsOf([
    request(82, 8082),
    request(80, 8080),
    request(81, 8081),
    request(83, 9083),
    request(84, 8084),
    request(81, 8081, { protocol: "udp" }),
    request(90, 0),
    request(91, 8091, { hostPortEnd: 8099 }),
  ]);
  assert.deepEqual(
    rows.map(({ request: { hostPort }, count }) => [hostPort, count]),
    [
      [8080, 3],
      [8081, 1],
      [9083, 1],
      [8084, 1],
      [0, 1],
      [8091, 1],
    ],
  );
});

test("a row loses its ends, its middle, or all of it", () => {
  const left = (...gone: PublishedPort[]) =>
    subtractPorts([port(10, 5)], gone).map(({ hostPort, containerPort, count }) => [
      hostPort,
      containerPort,
      count ?? 1,
    ]);
  assert.deepEqual(left(port(10)), [[11, 1011, 4]]);
  assert.deepEqual(left(port(13, 9)), [[10, 1010, 3]]);
  assert.deepEqual(left(port(12)), [
    [10, 1010, 2],
    [13, 1013, 2],
  ]);
  assert.deepEqual(left(port(5, 20)), []);
  assert.deepEqual(left({ ...port(12), hostIp: "::" }), [[10, 1010, 5]]);
  assert.equal(eachPort([port(10, 5), port(20)]).length, 6);
});

const record = (more: Partial<AttachmentRecord>): AttachmentRecord => ({
  networkId: "n",
  endpointId: "e",
  interfaceName: "eth0",
  hostInterface: "veth0",
  macAddress: "",
  ipv4: { address: "10.0.0.2", prefix: 24, gateway: "10.0.0.1" },
  ports: [],
  ...more,
});

test("what the holder carries is not forwarded, and what has no host port is only opened", () => {
  const ports = [port(80), { ...port(81), hostIp: "127.0.0.1" }];
  assert.equal(rulesOf(record({ ports })).forwardings.length, 1, "loopback is the holder's");
  assert.equal(rulesOf(record({ ports, carried: [4, 6] })).forwardings.length, 0);
  const opened = rulesOf(record({ ports, opens: [4, 6] })).openings;
  assert.deepEqual(opened, [{ protocol: "tcp", address: "10.0.0.2", port: 1080 }]);
  const routed = rulesOf(record({ ports: [{ ...port(0), containerPort: 80 }], opens: [4] }));
  assert.deepEqual([routed.forwardings.length, routed.openings.length], [0, 1]);
});

test("openings never overlap, since interval sets refuse that", () => {
  const twice = [port(80), port(79, 3), { ...port(80), hostPort: 9080 }];
  assert.equal(rulesOf(record({ ports: twice, opens: [4] })).openings.length, 1);
});

test("network and daemon together decide how ports are reached", () => {
  const daemon = { ip6tables: true, allowDirectRouting: false, publishFilter: "none" } as const;
  const network = (bridge: object) => ({ bridge }) as unknown as NetworkRecord;
  assert.deepEqual(exposureOf(network({}), daemon), {});
  assert.deepEqual(exposureOf(network({}), { ...daemon, ip6tables: false }), { carried: [6] });
  assert.deepEqual(exposureOf(network({ publishFilter: "input" }), daemon), { carried: [4, 6] });
  const filtering = { ...daemon, publishFilter: "input" } as const;
  assert.deepEqual(exposureOf(network({ publishFilter: "none" }), filtering), {});
  assert.deepEqual(exposureOf(network({ gatewayModes: { 6: "routed" } }), daemon), { opens: [6] });
  assert.deepEqual(exposureOf(network({ trusted: ["eth1"] }), daemon), { opens: [4, 6] });
});

test("listeners are read from /proc, and those on loopback are told apart", () => {
  const tcp6 =
    "  sl  local_address                         remote_address                        st\n" +
    "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0\n" +
    "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0\n" +
    "   2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0\n";
  const found = readListeners(tcp6, "tcp");
  assert.deepEqual(
    found.map(({ port: number, address }) => [number, isLoopback(address)]),
    [
      [8080, true],
      [80, false],
      [81, true],
    ],
  );
  assert.deepEqual(readListeners("   0: 0100007F:0035 00000000:0000 07 0\n", "udp"), [
    { address: "127.0.0.1", port: 53 },
  ]);
});

test("marks are numbers of 32 bits, with or without a mask", () => {
  assert.deepEqual(parseMark("0x1/0xff"), { value: 1, mask: 255 });
  assert.deepEqual(parseMark("7"), { value: 7, mask: 0xffff_ffff });
  for (const text of ["", "x", "1/", "0x1ffffffff", "-1"]) assert.equal(parseMark(text), undefined);
});
