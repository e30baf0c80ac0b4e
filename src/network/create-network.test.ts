import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSubnet } from "./addresses.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import { type CreateSurroundings, newNetwork } from "./create-network.ts";
import { DEFAULT_BLOCKS } from "./ipam.ts";
import { describeNetwork, type NetworkRecord } from "./network-record.ts";

const AROUND: CreateSurroundings = {
  existing: [],
  links: [],
  routed: [],
  blocks: DEFAULT_BLOCKS,
  defaults: { mtu: 1500, hostBindingIp: "0.0.0.0" },
};
const make = (o: Partial<CreateNetworkRequest>, around: Partial<CreateSurroundings> = {}) =>
  newNetwork({ Name: "n", ...o }, { ...AROUND, ...around });
const refused = (
  o: Partial<CreateNetworkRequest>,
  message: RegExp,
  around: Partial<CreateSurroundings> = {},
) => assert.throws(() => make(o, around), { message });
const subnets = ({ pools }: NetworkRecord) => pools.map(({ subnet }) => subnet);
const config = (...Config: object[]) => ({ IPAM: { Config } });

test("a network has IPv4 unless it is told not to, and IPv6 when it is asked for", () => {
  assert.deepEqual(subnets(make({}).record), ["172.17.0.0/16"]);
  const dual = make({ EnableIPv6: true }).record;
  assert.match(subnets(dual)[1]!, /^fd[0-9a-f:]+::\/64$/, "a unique local one");
  const only = make({ EnableIPv4: false, EnableIPv6: true }).record;
  assert.equal(only.pools.length, 1);
  assert.equal(describeNetwork(only)["EnableIPv4"], false);
  refused({ EnableIPv4: false }, /^IPv4 or IPv6 must be enabled$/);
  const blocks = [...DEFAULT_BLOCKS, { base: "2001:db8::/32", size: 64 }];
  assert.equal(subnets(make({ EnableIPv6: true }, { blocks }).record)[1], "2001:db8::/64");
});

test("several subnets of a family each have a gateway, and IPv6 ones need IPv6", () => {
  const o = config({ Subnet: "10.1.0.0/24" }, { Subnet: "10.2.0.0/24", Gateway: "10.2.0.254" });
  const { record } = make(o);
  assert.deepEqual(
    record.pools.map(({ gateway }) => gateway),
    ["10.1.0.1", "10.2.0.254"],
  );
  const { record: plain, warnings } = make(config({ Subnet: "fd00::/64" }));
  assert.deepEqual(subnets(plain), ["172.17.0.0/16"]);
  assert.deepEqual(warnings, ["subnet fd00::/64 is not used: the network has no IPv6 (--ipv6)"]);
});

test("a gateway is shown where it was asked for, or the subnet was not", () => {
  const shown = (o: Parameters<typeof make>[0]) =>
    (describeNetwork(make(o).record)["IPAM"] as { Config: object[] }).Config;
  const o = config({ Subnet: "10.1.0.0/24" }, { Subnet: "10.2.0.0/24", Gateway: "10.2.0.254" });
  assert.deepEqual(shown(o), [
    { Subnet: "10.1.0.0/24" },
    { Subnet: "10.2.0.0/24", Gateway: "10.2.0.254" },
  ]);
  assert.deepEqual(shown({}), [{ Subnet: "172.17.0.0/16", Gateway: "172.17.0.1" }]);
});

test("what is wrong with subnets is said in docker's words, all at once", () => {
  refused(
    config({ Subnet: "10.9.0.1/24", Gateway: "10.10.0.1", IPRange: "10.9.0.0/16" }),
    new RegExp(
      "^invalid network config:\\ninvalid subnet 10\\.9\\.0\\.1/24: it should be 10\\.9\\.0\\.0/24\\n" +
        "invalid ip-range 10\\.9\\.0\\.0/16: CIDR block is bigger than its parent subnet " +
        "10\\.9\\.0\\.0/24\\ninvalid gateway 10\\.10\\.0\\.1: parent subnet 10\\.9\\.0\\.0/24 doesn't " +
        "contain this address$",
    ),
  );
  refused(config({ Subnet: "x" }), /invalid subnet x: invalid CIDR block notation/);
  refused(
    config({ Subnet: "10.9.0.0/24", AuxiliaryAddresses: { a: "10.9.0.1" } }),
    /failed to allocate secondary ip address \(a:10\.9\.0\.1\): Address already in use/,
  );
});

test("who is in the way of a subnet is named", () => {
  const existing = [make({ Name: "first", ...config({ Subnet: "10.0.0.0/8" }) }).record];
  refused(
    config({ Subnet: "10.9.0.0/24" }),
    /^invalid pool request: Pool overlaps with other one on this address space: 10\.9\.0\.0\/24 overlaps 10\.0\.0\.0\/8 of network first/,
    { existing },
  );
  const routed = [{ subnet: parseSubnet("172.16.0.0/12"), by: "the host's tun0" }];
  const { record, warnings } = make(config({ Subnet: "172.20.0.0/16" }), { routed });
  assert.deepEqual(subnets(record), ["172.20.0.0/16"], "docker lets a user do it");
  assert.match(warnings[0]!, /^172\.20\.0\.0\/16 overlaps 172\.16\.0\.0\/12 of the host's tun0/);
  assert.deepEqual(subnets(make({}, { routed }).record), ["192.168.0.0/20"], "but never does");
  const blocks = [{ base: "172.16.0.0/16", size: 24 }];
  refused({}, /fully subnetted: 0 networks and 172\.16\.0\.0\/12 of the host's tun0 use them;/, {
    routed,
    blocks,
  });
});

test("options of bridges are understood or refused, as docker does", () => {
  const bridge = (Options: Record<string, string>, more: object = {}) =>
    make({ Options, ...more }).record;
  const B = "com.docker.network.bridge.";
  assert.equal(bridge({ "com.docker.network.driver.mtu": "1400" }).bridge!.mtu, 1400);
  assert.equal(bridge({ [`${B}enable_icc`]: "false" }).bridge!.icc, false);
  assert.equal(bridge({ [`${B}inhibit_ipv4`]: "true" }).pools[0]!.bridgeAddress, "");
  const prefix = { "com.docker.network.container_iface_prefix": "wan" };
  assert.equal(bridge(prefix).interfacePrefix, "wan");
  const isolated = { [`${B}gateway_mode_ipv4`]: "isolated" };
  assert.equal(bridge(isolated, { Internal: true }).pools[0]!.bridgeAddress, "");
  refused({ Options: isolated }, /only be used for an internal network/);
  refused({ Options: { [`${B}gateway_mode_ipv4`]: "bogus" } }, /unknown gateway mode bogus/);
  refused({ Options: { [`${B}enable_icc`]: "x" } }, /strconv\.ParseBool: parsing "x"/);
  refused({ Options: { "com.docker.network.driver.mtu": "x" } }, /strconv\.Atoi/);
  refused({ Options: { [`${B}host_binding_ipv4`]: "x" } }, /\(nil ip\)$/);
  refused(
    { Options: { "com.docker.network.host_ipv4": "::1" } },
    /host_ipv4 value: ::1 \(nil ip\)$/,
  );
  const hostIp = { "com.docker.network.host_ipv4": "192.0.2.7" };
  assert.deepEqual(make({ Options: hostIp }).record.bridge!.hostIps, { 4: "192.0.2.7" });
  refused({ Options: { [`${B}name`]: "eth0" } }, /exists and is no bridge/, {
    links: [{ name: "eth0", kind: "", addresses: [] }],
  });
  const own = make(
    { Options: { [`${B}name`]: "br7" } },
    { links: [{ name: "br7", kind: "bridge", addresses: ["10.7.0.1/24"] }] },
  ).record;
  assert.equal(own.bridge!.adopted, true);
  assert.deepEqual([own.pools[0]!.subnet, own.pools[0]!.gateway], ["10.7.0.0/24", "10.7.0.1"]);
  assert.deepEqual(make({ Options: { foo: "bar" } }).warnings, [
    "driver option foo is not known and has no effect",
  ]);
});

test("a configuration network is what others are made from", () => {
  const source = make({
    Name: "cfg",
    ConfigOnly: true,
    Labels: { x: "y" },
    Options: { "com.docker.network.driver.mtu": "1400" },
    ...config({ Subnet: "10.55.0.0/24" }),
  }).record;
  const shown = describeNetwork(source);
  assert.equal(shown["Driver"], "null");
  assert.equal(shown["ConfigOnly"], true);
  const { Config } = shown["IPAM"] as { Config: unknown };
  assert.deepEqual(Config, [{ Subnet: "10.55.0.0/24" }]);
  const from = (o: Partial<CreateNetworkRequest>) => ({ ConfigFrom: { Network: "cfg" }, ...o });
  const around = { existing: [source] };
  const { record } = make(from({ Internal: true }), around);
  assert.deepEqual(subnets(record), ["10.55.0.0/24"]);
  assert.equal(record.bridge!.mtu, 1400);
  assert.equal(record.internal, true);
  assert.deepEqual(describeNetwork(record)["ConfigFrom"], { Network: "cfg" });
  refused(from({ Labels: { a: "b" } }), /^user specified configurations are not supported/, around);
  refused(from({ Options: { a: "b" } }), /^network driver options are not supported/, around);
  refused(from({ ConfigOnly: true }), /cannot depend on another configuration network$/, around);
  refused(from({}), /^configuration network "cfg" does not exist$/);
  refused({ ConfigOnly: true, Internal: true }, /can only contain network specific fields/);
});

test("what needs a swarm, another plugin or addresses that nobody gives is refused", () => {
  refused({ Ingress: true }, /^Ingress network can only be global scope network$/);
  refused({ Scope: "swarm" }, /when swarm is not active$/);
  refused({ Driver: "overlay" }, /^This node is not a swarm manager/);
  refused({ Driver: "foo" }, /^plugin "foo" not found$/);
  refused({ Driver: "host" }, /^only one instance of "host" network is allowed$/);
  refused({ IPAM: { Driver: "foo" } }, /not found$/);
  refused({ IPAM: { Driver: "null" } }, /^ipv4 pool is empty/);
  const null4 = { IPAM: { Driver: "null", Config: [{ Subnet: "10.3.0.0/24" }] } };
  refused(null4, /^null ipam driver does not handle specific address pool requests$/);
  const lan = make({ Driver: "macvlan", IPAM: { Driver: "null" } }).record;
  assert.deepEqual(lan.pools, []);
  assert.equal(make({ Scope: "local" }).record.driver, "bridge");
});
