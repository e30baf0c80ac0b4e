// Networks that users make: subnets, isolation, several networks of one container.

import assert from "node:assert/strict";
import { test } from "node:test";
import { dumpLinks, readLinks } from "../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";
import { BRIEFLY, HOST, Lab, REMOTE, tcp } from "../support/network-lab.ts";

const subnetOf = (lab: Lab, id: string): string => {
  const found = lab.network.describe().find((network) => network.Id === id)!;
  return (found["IPAM"] as { Config: { Subnet: string }[] }).Config[0]!.Subnet;
};

async function linkNames(lab: Lab): Promise<string[]> {
  const results = await lab.native.run({
    host: [{ op: "netlink", protocol: NETLINK_ROUTE, data: dumpLinks() }],
  });
  return readLinks(results.bytes(0)).map(({ name }) => name);
}

test("networks get subnets of their own, and are apart", async () => {
  await using lab = await Lab.make();
  const { id: one } = await lab.network.createNetwork({ Name: "one" });
  const { id: two } = await lab.network.createNetwork({ Name: "two" });
  assert.deepEqual([subnetOf(lab, one), subnetOf(lab, two)], ["172.18.0.0/16", "172.19.0.0/16"]);
  const a = await lab.container([], "a", { networkName: "one" });
  const b = await lab.container([], "b", { networkName: "one" });
  const published = [tcp(81, { hostPort: 8081, hostPortEnd: 8081 })];
  const c = await lab.container(published, "c", { networkName: two });
  for (const { agent } of [a, c]) {
    await agent.ask({ do: "listen", protocol: "tcp", port: 80 });
    await agent.ask({ do: "listen", protocol: "tcp", port: 81 });
  }
  assert.equal(await b.agent.ask({ do: "tcp", host: a.address, port: 80 }), `${b.address}\nbye`);
  assert.equal(await b.agent.ask({ do: "tcp", host: c.address, port: 80, ...BRIEFLY }), "timeout");
  assert.match(await b.agent.ask({ do: "tcp", host: HOST, port: 8081 }), /bye$/, "published");
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  assert.equal(await b.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
});

test("an internal network has no way out and none in", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "inner", Internal: true });
  const a = await lab.container([], "a", { networkName: "inner" });
  const b = await lab.container([], "b", { networkName: "inner" });
  await a.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  assert.match(await b.agent.ask({ do: "tcp", host: a.address, port: 80 }), /bye$/);
  assert.equal(await b.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), "ENETUNREACH");
});

test("addresses can be asked for, within the network's subnet", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({
    Name: "fixed",
    IPAM: { Config: [{ Subnet: "10.9.0.0/24", IPRange: "10.9.0.128/25", Gateway: "10.9.0.254" }] },
    EnableIPv6: true,
  });
  const place = (IPv4Address: string) => ({
    networkName: "fixed",
    settings: { IPAMConfig: { IPv4Address } },
  });
  const box = await lab.container([], "box", place("10.9.0.9"));
  assert.equal(box.address, "10.9.0.9");
  assert.match(box.attachment.record.ipv6!.address, /^fd[0-9a-f:]+::2$/);
  await assert.rejects(lab.container([], "b", place("10.9.0.9")), /Address already in use/);
  await assert.rejects(
    lab.container([], "b", place("10.8.0.9")),
    /no configured subnet or ip-range contain the IP address 10\.8\.0\.9/,
  );
  assert.equal((await lab.container([], "c", { networkName: "fixed" })).address, "10.9.0.128");
});

test("a running container joins another network and leaves it, keeping its connections", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "side" });
  const box = await lab.container();
  const peer = await lab.container([], "peer", { networkName: "side" });
  await peer.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.equal(
    await box.agent.ask({ do: "tcp", host: peer.address, port: 80, ...BRIEFLY }),
    "timeout",
  );
  const record = await lab.network.connect({
    containerId: "c",
    networkName: "side",
    settings: {},
    publish: [],
    interfaceName: "eth1",
    position: 1,
    pid: box.agent.pid,
  });
  const ask = { do: "tcp", host: peer.address, port: 80 } as const;
  assert.equal(await box.agent.ask(ask), `${record.ipv4!.address}\nbye`);
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
  await lab.network.disconnect(record);
  assert.equal(await box.agent.ask({ ...ask, ...BRIEFLY }), "timeout");
});

test("a network with endpoints stays; without, it goes with its bridge", async () => {
  await using lab = await Lab.make();
  const { id } = await lab.network.createNetwork({ Name: "gone" });
  const box = await lab.container([], "box", { networkName: "gone" });
  await assert.rejects(lab.network.removeNetwork("gone"), {
    kind: "forbidden",
    message: /^error while removing network: network gone has active endpoints/,
  });
  await box.end();
  assert.ok((await linkNames(lab)).includes(`br-${id.slice(0, 12)}`));
  await lab.network.removeNetwork(id);
  assert.ok(!(await linkNames(lab)).includes(`br-${id.slice(0, 12)}`));
  await assert.rejects(lab.network.removeNetwork("gone"), { kind: "not-found" });
  await assert.rejects(lab.network.removeNetwork("bridge"), { kind: "forbidden" });
});

test("networks survive their daemon, with containers on them", async () => {
  await using lab = await Lab.make();
  const { id } = await lab.network.createNetwork({ Name: "kept", Labels: { a: "b" } });
  const published = [tcp(80, { hostPort: 8080, hostPortEnd: 8080 })];
  const box = await lab.container(published, "box", { networkName: "kept" });
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.network.stop();
  await lab.open();
  const kept = lab.network.describe().find(({ Name }) => Name === "kept");
  assert.deepEqual([kept?.Id, kept?.["Labels"]], [id, { a: "b" }]);
  assert.match(await lab.remote.ask({ do: "tcp", host: HOST, port: 8080 }), /bye$/);
  const next = await lab.container([], "next", { networkName: "kept" });
  assert.match(await next.agent.ask({ do: "tcp", host: box.address, port: 80 }), /bye$/);
});

test("impossible networks are refused in docker's words", async () => {
  await using lab = await Lab.make();
  const create = (o: Parameters<typeof lab.network.createNetwork>[0]) =>
    lab.network.createNetwork(o);
  await create({ Name: "a", IPAM: { Config: [{ Subnet: "10.9.0.0/24" }] } });
  const rows: [Parameters<typeof create>[0], RegExp][] = [
    [{ Name: "a" }, /^network with name a already exists$/],
    [{ Name: "host" }, /^operation is not permitted on predefined host network$/],
    [{ Name: "x", Driver: "weave" }, /plugin "weave" not found/],
    [{ Name: "x", IPAM: { Config: [{ Subnet: "10.9.0.0/16" }] } }, /Pool overlaps with other one/],
    [{ Name: "x", IPAM: { Config: [{ Subnet: "10.7.0.1/24" }] } }, /it should be 10\.7\.0\.0\/24$/],
    [
      { Name: "x", IPAM: { Config: [{ Subnet: "10.7.0.0/24", Gateway: "10.8.0.1" }] } },
      /doesn't contain this address$/,
    ],
    [{ Name: "x y" }, /^invalid network name/],
  ];
  for (const [request, message] of rows) await assert.rejects(create(request), { message });
  assert.equal(lab.network.describe().length, 4);
});
