// What a network gives its endpoints: addresses of several subnets, never one that somebody has; a
// bridge that was there before; default routes that are led elsewhere while connections go on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RouteWriter } from "../../src/network/rtnetlink.ts";
import {
  dumpAddresses,
  dumpLinks,
  readAddresses,
  readLinks,
} from "../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";
import { BRIEFLY, Lab, REMOTE } from "../support/network-lab.ts";

const route = (writer: RouteWriter) => ({
  op: "netlink" as const,
  protocol: NETLINK_ROUTE,
  ...writer.finish(),
});
const config = (...Config: { Subnet: string; IPRange?: string }[]) => ({ IPAM: { Config } });

async function hostLinks(lab: Lab): Promise<Map<string, string[]>> {
  const dump = (data: Uint8Array) => ({ op: "netlink" as const, protocol: NETLINK_ROUTE, data });
  const results = await lab.native.run({ host: [dump(dumpLinks()), dump(dumpAddresses())] });
  const addresses = readAddresses(results.bytes(1));
  return new Map(
    readLinks(results.bytes(0)).map(({ name, index }) => [
      name,
      addresses.filter((one) => one.index === index).map(({ address }) => address),
    ]),
  );
}

test("when a subnet is full the next one gives addresses, with its own gateway", async () => {
  await using lab = await Lab.make();
  const o = config({ Subnet: "10.31.0.0/30" }, { Subnet: "10.32.0.0/24" });
  await lab.network.createNetwork({ Name: "two", ...o });
  const a = await lab.container([], "a", { networkName: "two" });
  const b = await lab.container([], "b", { networkName: "two" });
  assert.deepEqual([a.address, b.address], ["10.31.0.2", "10.32.0.2"]);
  assert.equal(b.attachment.record.ipv4!.gateway, "10.32.0.1");
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  for (const { agent } of [a, b]) {
    assert.match(await agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), /bye$/);
  }
});

test("an address that the host has is never handed out", async () => {
  await using lab = await Lab.make();
  const { id } = await lab.network.createNetwork({
    Name: "n",
    ...config({ Subnet: "10.33.0.0/29" }),
  });
  await lab.run(
    { op: "interfaceIndex", name: "up0", to: 1 },
    route(new RouteWriter().addAddress({ slot: 1 }, "10.33.0.2", 32)),
  );
  await lab.open();
  assert.deepEqual(lab.network.usage(id), [{ subnet: "10.33.0.0/29", used: 4n, available: 4n }]);
  assert.equal((await lab.container([], "a", { networkName: "n" })).address, "10.33.0.3");
});

test("a bridge that was there before is used as it is, and stays", async () => {
  await using lab = await Lab.make();
  await lab.run(
    route(new RouteWriter().addBridge("own0")),
    { op: "interfaceIndex", name: "own0", to: 1 },
    route(
      new RouteWriter().addAddress({ slot: 1 }, "10.34.0.1", 24).setLink({ slot: 1 }, { up: true }),
    ),
  );
  const { id, warnings } = await lab.network.createNetwork({
    Name: "own",
    Options: { "com.docker.network.bridge.name": "own0" },
  });
  assert.deepEqual(warnings, []);
  assert.equal(lab.network.usage(id)[0]!.subnet, "10.34.0.0/24");
  const a = await lab.container([], "a", { networkName: "own" });
  const b = await lab.container([], "b", { networkName: "own" });
  assert.equal(a.address, "10.34.0.2");
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.match(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
  // What a crash leaves on it is known by its lease, whatever else is on that bridge.
  await lab.run(
    { op: "interfaceIndex", name: "own0", to: 1 },
    { op: "open", path: lab.remote.netns, flags: 0, to: 2 },
    route(
      new RouteWriter()
        .addVeth({ name: "vethfe", peer: { name: "other", netns: 2 } })
        .setLink("vethfe", { master: { slot: 1 }, up: true }),
    ),
  );
  lab.forget(a);
  await lab.open();
  const links = await hostLinks(lab);
  assert.ok(!links.has(a.attachment.record.hostInterface));
  assert.ok(links.has(b.attachment.record.hostInterface));
  assert.ok(links.has("vethfe"), "what others put there is theirs");
  await a.agent.end();
  await b.end();
  await lab.network.removeNetwork("own");
  assert.ok((await hostLinks(lab)).get("own0")?.includes("10.34.0.1"));
});

test("an isolated network's bridge has no address, so the host is no neighbour", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({
    Name: "alone",
    Internal: true,
    Options: { "com.docker.network.bridge.gateway_mode_ipv4": "isolated" },
    ...config({ Subnet: "10.35.0.0/24" }),
  });
  const a = await lab.container([], "a", { networkName: "alone" });
  const b = await lab.container([], "b", { networkName: "alone" });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.match(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
  const said = await lab.host.ask({ do: "tcp", host: b.address, port: 80, ...BRIEFLY });
  assert.notEqual(said.slice(-3), "bye");
});

test("the default route is led over another network, and away", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "side" });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  const box = await lab.container();
  const { pid } = box.agent;
  const record = await lab.network.connect({
    containerId: "c".repeat(64),
    networkName: "side",
    settings: { IPAMConfig: { LinkLocalIPs: ["169.254.9.9"] } },
    publish: [],
    interfaceName: "eth1",
    gatewayOf: [],
    pid,
  });
  const goesOut = () => box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 });
  assert.match(await goesOut(), /bye$/);
  await lab.network.setGateways({ ipv4: record }, pid);
  assert.match(await goesOut(), /bye$/);
  await lab.network.disconnect(record, { pid });
  assert.equal(await goesOut(), "ENETUNREACH", "the route went with its interface");
  await lab.network.setGateways({ ipv4: box.attachment.record }, pid);
  assert.match(await goesOut(), /bye$/);
  await lab.network.setGateways({}, pid);
  assert.equal(await goesOut(), "ENETUNREACH");
});

test("the default bridge with --ipv6 has a subnet that nobody had to name, and keeps it", async () => {
  await using lab = await Lab.make({ ipv6: true });
  const a = await lab.container();
  const b = await lab.container([], "b");
  assert.match(a.attachment.record.ipv6!.address, /^fd[0-9a-f:]+::2$/);
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const { address } = b.attachment.record.ipv6!;
  assert.match(await a.agent.ask({ do: "tcp", host: address, port: 80 }), /bye|ECONNREF/);
  await lab.open({ ipv6: true });
  const subnets = (lab.network.describe()[0]!["IPAM"] as { Config: { Gateway: string }[] }).Config;
  assert.equal(subnets[1]!.Gateway, a.attachment.record.ipv6!.gateway);
});
