// Who reaches whom under the options of networks and daemon: gateway modes, input filtering, direct
// routing, forwarding. Sockets are opened from the host, the same network, another and outside.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../../src/native/index.ts";
import {
  compare,
  hostU32,
  loadMeta,
  loadPayload,
  loadValue,
  NETLINK_NETFILTER,
  NftBatch,
  portBytes,
  storeMark,
  verdict,
} from "../../src/network/nftables.ts";
import {
  type Agent,
  BRIEFLY,
  type Container,
  HOST,
  HOST6,
  Lab,
  REMOTE,
  tcp,
} from "../support/network-lab.ts";

const BRIDGE = "com.docker.network.bridge.";
const at = (hostPort: number, more = {}) => tcp(80, { hostPort, hostPortEnd: hostPort, ...more });

async function network(lab: Lab, Name: string, o: object = {}): Promise<string> {
  const { id } = await lab.network.createNetwork({ Name, ...o });
  return id;
}
/** A container that answers on 80 (published as asked) and 81. */
async function web(lab: Lab, networkName: string, publish = [at(8080)]): Promise<Container> {
  const box = await lab.container(publish, "web", { networkName });
  for (const port of [80, 81])
    await box.agent.ask({ do: "listen", protocol: "tcp", port, host: "::" });
  return box;
}
const says = async (agent: Agent, host: string, port: number, how = {}): Promise<string> =>
  (await agent.ask({ do: "tcp", host, port, ...how })).replace("::ffff:", "");
/** Where no answer is expected. A packet that is lost comes again after a second only. */
const saysBriefly = (agent: Agent, host: string, port: number): Promise<string> =>
  says(agent, host, port, BRIEFLY);
const subnetOf = (box: Container): string => {
  const { address, prefix } = box.attachment.record.ipv4!;
  return `${address.split(".").slice(0, 2).join(".")}.0.0/${prefix}`;
};
const batch = (one: NftBatch): Operation => ({
  op: "netlink",
  protocol: NETLINK_NETFILTER,
  ...one.finish(),
});

/** As a host that nobody has asked to route; then the layer opens again. */
async function withoutForwarding(lab: Lab, options: Parameters<Lab["open"]>[0]): Promise<void> {
  await lab.run({ op: "write", path: "/proc/sys/net/ipv4/ip_forward", data: Buffer.from("0") });
  await lab.open(options);
}

/** The host's own firewall: drops TCP to `port` on its input. */
const dropInput = (port: number) =>
  batch(
    new NftBatch("host")
      .addTable()
      .addChain("in", { type: "filter", hook: "input", priority: 0 })
      .addRule(
        "in",
        loadMeta("iifname"),
        compare("neq", new TextEncoder().encode("lo\0")),
        loadMeta("l4proto"),
        compare("eq", Uint8Array.of(6)),
        loadPayload("transport", 2, 2),
        compare("eq", portBytes(port)),
        verdict("drop"),
      ),
  );

test("published ports respect the host's rules for input where they are told to", async () => {
  await using lab = await Lab.make();
  await lab.run(dropInput(8080), dropInput(8081), dropInput(8082));
  await network(lab, "filtered", { Options: { "gantry.publish_filter": "input" } });
  const filtered = await web(lab, "filtered", [at(8080), at(9080)]);
  const bypassing = await web(lab, "bridge", [at(8081)]);
  assert.equal(
    await saysBriefly(lab.remote, HOST, 8080),
    "timeout",
    "dropped by the host's firewall",
  );
  const { gateway } = filtered.attachment.record.ipv4!;
  assert.equal(await says(lab.remote, HOST, 9080), `${gateway}\nbye`, "allowed by it");
  assert.equal(await says(lab.host, "127.0.0.1", 8080), `${gateway}\nbye`);
  assert.match(await says(lab.host, HOST, 8080), /bye$/);
  assert.equal(
    await saysBriefly(bypassing.agent, HOST, 8080),
    "timeout",
    "other networks are outside",
  );
  assert.equal(await says(lab.remote, HOST, 8081), `${REMOTE}\nbye`, "the default is docker's");
  await assert.rejects(
    lab.container([at(8083, { protocol: "sctp" })], "s", { networkName: "filtered" }),
    /SCTP ports cannot be published/,
  );
  await lab.open({ publishFilter: "input" });
  const later = await web(lab, "bridge", [at(8082)]);
  assert.equal(await saysBriefly(lab.remote, HOST, 8082), "timeout", "the daemon's option");
  await later.end();
});

test("a routed network is reached at its own addresses, at published ports only", async () => {
  await using lab = await Lab.make();
  await network(lab, "routed", { Options: { [`${BRIDGE}gateway_mode_ipv4`]: "routed" } });
  const box = await web(lab, "routed");
  const other = await lab.container();
  assert.deepEqual(
    box.attachment.record.ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`),
    [":: 8080", "0.0.0.0 0"],
  );
  await lab.routeFromRemote(subnetOf(box));
  assert.equal(await says(lab.remote, box.address, 80), `${REMOTE}\nbye`);
  assert.equal(await saysBriefly(lab.remote, box.address, 81), "timeout", "not published");
  assert.equal(await says(lab.remote, HOST, 8080), "ECONNREFUSED", "no port of the host");
  assert.match(await says(other.agent, box.address, 80), /bye$/, "from another network, too");
  assert.equal(await saysBriefly(other.agent, box.address, 81), "timeout");
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  assert.equal(await says(box.agent, REMOTE, 7000), `${box.address}\nbye`, "its own address");
  await box.end();
});

test("an unprotected network is reached at its own addresses, at every port", async () => {
  await using lab = await Lab.make();
  await network(lab, "open", { Options: { [`${BRIDGE}gateway_mode_ipv4`]: "nat-unprotected" } });
  const box = await web(lab, "open");
  const shut = await web(lab, "bridge", [at(8081)]);
  await lab.routeFromRemote(subnetOf(box));
  await lab.routeFromRemote(subnetOf(shut));
  assert.equal(await says(lab.remote, box.address, 81), `${REMOTE}\nbye`);
  assert.equal(await says(lab.remote, HOST, 8080), `${REMOTE}\nbye`, "and where it is published");
  assert.equal(await saysBriefly(lab.remote, shut.address, 81), "timeout", "others stay shut");
});

test("an isolated network has no address of the host's on it", async () => {
  await using lab = await Lab.make();
  const Options = { [`${BRIDGE}gateway_mode_ipv4`]: "isolated" };
  await assert.rejects(network(lab, "no", { Options }), /only be used for an internal network/);
  await network(lab, "alone", { Internal: true, Options });
  const [one, two] = [await web(lab, "alone", []), await web(lab, "alone", [])];
  assert.match(await says(one.agent, two.address, 80), /bye$/);
  assert.match(await saysBriefly(lab.host, one.address, 80), /timeout|ENETUNREACH|EHOSTUNREACH/);
});

test("trusted interfaces reach published ports directly, others do not", async () => {
  await using lab = await Lab.make();
  const option = `${BRIDGE}trusted_host_interfaces`;
  await network(lab, "trusting", { Options: { [option]: "up0:wg7" } });
  await network(lab, "wary", { Options: { [option]: "wg7" } });
  const box = await web(lab, "trusting");
  const wary = await web(lab, "wary", [at(8081)]);
  await lab.routeFromRemote(subnetOf(box));
  await lab.routeFromRemote(subnetOf(wary));
  assert.equal(await says(lab.remote, box.address, 80), `${REMOTE}\nbye`);
  assert.equal(await saysBriefly(lab.remote, box.address, 81), "timeout");
  assert.equal(await saysBriefly(lab.remote, wary.address, 80), "timeout");
});

test("with direct routing published ports are open directly, loopback's not", async () => {
  await using lab = await Lab.make({ allowDirectRouting: true });
  const box = await web(lab, "bridge");
  const local = await web(lab, "bridge", [at(8081, { hostIp: "127.0.0.1" })]);
  await lab.routeFromRemote(subnetOf(box));
  assert.equal(await says(lab.remote, box.address, 80), `${REMOTE}\nbye`);
  assert.equal(await saysBriefly(lab.remote, box.address, 81), "timeout");
  assert.equal(await saysBriefly(lab.remote, local.address, 80), "timeout");
  const { address } = box;
  await box.end();
  const heir = await lab.container();
  await heir.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.equal(heir.address, address);
  assert.equal(await saysBriefly(lab.remote, address, 80), "timeout", "it goes with its container");
});

test("packets with the mark that the administrator named are let in", async () => {
  await using lab = await Lab.make({ bridgeAcceptFwmark: "0x40/0xf0" });
  const box = await web(lab, "bridge");
  await lab.routeFromRemote(subnetOf(box));
  assert.equal(await saysBriefly(lab.remote, box.address, 81), "timeout");
  await lab.run(
    batch(
      new NftBatch("marks")
        .addTable()
        .addChain("pre", { type: "filter", hook: "prerouting", priority: -150 })
        .addRule("pre", loadValue(hostU32(0x41)), storeMark),
    ),
  );
  assert.equal(await says(lab.remote, box.address, 81), `${REMOTE}\nbye`);
});

test("a network's own binding address holds for ports that name none", async () => {
  await using lab = await Lab.make({
    defaultNetworkOpts: { bridge: { [`${BRIDGE}host_binding_ipv4`]: "127.0.0.1" } },
  });
  await network(lab, "shy");
  await network(lab, "loud", { Options: { [`${BRIDGE}host_binding_ipv4`]: "0.0.0.0" } });
  const shy = await web(lab, "shy", [at(8080), at(8082, { hostIp: "0.0.0.0" })]);
  await web(lab, "loud", [at(8081)]);
  assert.deepEqual(
    shy.attachment.record.ports.map(({ hostIp }) => hostIp),
    ["127.0.0.1", "0.0.0.0"],
  );
  assert.match(await says(lab.host, "127.0.0.1", 8080), /bye$/);
  assert.equal(await says(lab.remote, HOST, 8080), "ECONNREFUSED");
  assert.equal(await says(lab.remote, HOST, 8081), `${REMOTE}\nbye`);
  assert.equal(await says(lab.remote, HOST, 8082), `${REMOTE}\nbye`);
});

test("a loopback port is closed to the wire without a firewall, with route_localnet", async () => {
  await using lab = await Lab.make({ iptables: false });
  const box = await web(lab, "bridge", [
    at(8080, { hostIp: "127.0.0.1" }),
    at(8081, { hostIp: "::1" }),
  ]);
  for (const name of ["all", "up0"]) {
    const path = `/proc/sys/net/ipv4/conf/${name}/route_localnet`;
    await lab.run({ op: "write", path, data: Buffer.from("1") });
  }
  await lab.sendLoopbackFromRemote();
  assert.match(await saysBriefly(lab.remote, "127.0.0.1", 8080), /timeout|ECONNREFUSED/);
  assert.match(await says(lab.host, "127.0.0.1", 8080), /bye$/);
  assert.match(await says(lab.host, "::1", 8081), /bye$/);
  assert.equal(await says(lab.remote, HOST6, 8081), "ECONNREFUSED");
  assert.notEqual(await saysBriefly(box.agent, box.attachment.record.ipv4!.gateway, 8080), "bye");
});

test("an internal network reaches nothing that others publish", async () => {
  await using lab = await Lab.make();
  await network(lab, "inside", { Internal: true });
  await web(lab, "bridge");
  const spy = await lab.container([], "spy", { networkName: "inside" });
  const { gateway } = spy.attachment.record.ipv4!;
  assert.equal(await saysBriefly(spy.agent, gateway, 8080), "timeout");
  assert.match(await saysBriefly(spy.agent, HOST, 8080), /ENETUNREACH|timeout/);
});

test("without a userland proxy IPv6 is not carried to a container that has none", async () => {
  await using lab = await Lab.make({ userlandProxy: false });
  const box = await web(lab, "bridge");
  assert.deepEqual(
    box.attachment.record.ports.map(({ hostIp }) => hostIp),
    ["0.0.0.0"],
  );
  assert.match(await says(lab.host, "127.0.0.1", 8080), /bye$/, "loopback is carried all the same");
  assert.equal(await says(lab.remote, HOST6, 8080), "ECONNREFUSED");
});

test("without ip6tables the port holder carries IPv6, and IPv4 is filtered as ever", async () => {
  await using lab = await Lab.make({ ip6tables: false });
  await network(lab, "dual", { EnableIPv6: true });
  const box = await web(lab, "dual");
  const { gateway } = box.attachment.record.ipv6!;
  assert.equal(await says(lab.remote, HOST6, 8080), `${gateway}\nbye`);
  assert.equal(await says(lab.remote, HOST, 8080), `${REMOTE}\nbye`);
  await lab.routeFromRemote(subnetOf(box));
  assert.equal(await saysBriefly(lab.remote, box.address, 81), "timeout");
});

test("a host that does not forward publishes by the port holder", async () => {
  await using lab = await Lab.make();
  await withoutForwarding(lab, { ipForward: false });
  const box = await web(lab, "bridge");
  const { gateway } = box.attachment.record.ipv4!;
  assert.equal(await says(lab.remote, HOST, 8080), `${gateway}\nbye`);
});

test("forwarding that was switched on for containers is not a router for strangers", async () => {
  for (const ipForwardNoDrop of [false, true]) {
    await using lab = await Lab.make();
    await withoutForwarding(lab, { ipForwardNoDrop });
    await web(lab, "bridge");
    const stranger = await lab.cableStranger("198.51.100");
    await stranger.ask({ do: "listen", protocol: "tcp", port: 80 });
    await lab.routeFromRemote("198.51.100.0/24");
    const said = ipForwardNoDrop ? `${REMOTE}\nbye` : "timeout";
    const ask = ipForwardNoDrop ? says : saysBriefly;
    assert.equal(await ask(lab.remote, "198.51.100.9", 80), said);
    await lab.open({ ipForwardNoDrop });
    assert.equal(await ask(lab.remote, "198.51.100.9", 80), said, "nor after a restart");
  }
});

test("SCTP is forwarded as other protocols are", async () => {
  await using lab = await Lab.make();
  const sctp = { protocol: "sctp" as const };
  let box: Container;
  try {
    box = await lab.container([at(8080, sctp), at(8080)]);
  } catch (error) {
    assert.match(String(error), /protocol not supported/, "the kernel has no SCTP");
    return;
  }
  assert.equal(box.attachment.record.ports.filter(({ protocol }) => protocol === "sctp").length, 2);
});
