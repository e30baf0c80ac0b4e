// What a daemon that died leaves on the host, and what the next one makes of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connectPortHolder } from "../../src/network/port-holder.ts";
import { dumpLinks, readLinks } from "../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";
import { BRIEFLY, HOST, Lab, REMOTE, tcp } from "../support/network-lab.ts";

const ports = (lab: Lab) => connectPortHolder(`${lab.dir}/ports.sock`);
const published = [tcp(80, { hostPort: 8080, hostPortEnd: 8080 })];

async function linkNames(lab: Lab): Promise<string[]> {
  const results = await lab.native.run({
    host: [{ op: "netlink", protocol: NETLINK_ROUTE, data: dumpLinks() }],
  });
  return readLinks(results.bytes(0)).map(({ name }) => name);
}

test("a layer that only looks changes nothing on the host", async () => {
  await using lab = await Lab.make();
  assert.deepEqual(await linkNames(lab), ["lo", "up0"]);
  assert.equal(await ports(lab), undefined);
});

test("when the last container is gone, stop leaves the host as it was", async () => {
  await using lab = await Lab.make();
  const box = await lab.container(published);
  assert.ok((await linkNames(lab)).includes("gantry0"));
  await box.end();
  await lab.network.stop();
  assert.deepEqual(await linkNames(lab), ["lo", "up0"]);
  assert.equal(await ports(lab), undefined);
});

test("a container that outlives its daemon keeps its port, and the next daemon its address", async () => {
  await using lab = await Lab.make();
  const box = await lab.container(published);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.network.stop(); // the container lives: everything stays
  const ask = { do: "tcp", port: 8080 } as const;
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), `${REMOTE}\nbye`);
  assert.match(await lab.host.ask({ ...ask, host: "::1" }), /bye$/);
  await lab.open();
  assert.match(await lab.host.ask({ ...ask, host: "127.0.0.1" }), /bye$/);
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), `${REMOTE}\nbye`);
  const next = await lab.container();
  assert.notEqual(next.address, box.address);
  await assert.rejects(lab.container(published), /port is already allocated/);
});

test("a port that a living container was given, but that never got on record, is let go", async () => {
  await using lab = await Lab.make();
  const row = [0, 1, 2].map((at) => tcp(90 + at, { hostPort: 8090 + at, hostPortEnd: 8090 + at }));
  const box = await lab.container([...published, ...row]);
  const { endpointId, ports: recorded } = box.attachment.record;
  await lab.network.republish(box.attachment.record, {
    add: [tcp(81, { hostPort: 8081, hostPortEnd: 8081 })],
    remove: [],
    containerName: "box",
  });
  const held = async () =>
    (await (await ports(lab))!.list())
      .filter(({ key }) => key === endpointId)
      .map(({ ip, port }) => `${ip} ${port}`)
      .sort();
  assert.ok((await held()).includes("0.0.0.0 8081"));
  box.attachment.record.ports = recorded; // what the daemon that died had on record
  await lab.open();
  const numbers = [8080, 8090, 8091, 8092];
  const wanted = numbers.flatMap((port) => [`0.0.0.0 ${port}`, `:: ${port}`]);
  assert.deepEqual(await held(), wanted.sort());
});

test("what a dead container has left is removed at the next start", async () => {
  await using lab = await Lab.make();
  const dead = await lab.container(published);
  lab.forget(dead);
  await lab.open();
  const left = await linkNames(lab);
  assert.ok(!left.includes(dead.attachment.record.hostInterface), left.join());
  const again = await lab.container(published);
  assert.equal(again.address, dead.address);
  await dead.agent.end();
});

test("a port holder that is killed comes back with every port", async () => {
  await using lab = await Lab.make();
  const box = await lab.container(published);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const holder = (await ports(lab))!;
  process.kill(holder.pid, "SIGKILL");
  await holder.closed;
  const next = await lab.container([tcp(81, { hostPort: 8081, hostPortEnd: 8081 })]);
  const ask = { do: "tcp", host: "127.0.0.1", port: 8080 } as const;
  assert.match(await lab.host.ask(ask), /bye$/);
  await next.end();
});

test("without a firewall the port holder carries what is published", async () => {
  await using lab = await Lab.make({ iptables: false });
  const box = await lab.container([
    ...published,
    tcp(53, { protocol: "udp", hostPort: 5300, hostPortEnd: 5300 }),
  ]);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await box.agent.ask({ do: "listen", protocol: "udp", port: 53 });
  const { gateway } = box.attachment.record.ipv4!;
  const said = await lab.remote.ask({ do: "tcp", host: HOST, port: 8080, send: "x" });
  assert.equal(said, `${gateway}\nxbye`);
  const answer = await lab.remote.ask({ do: "udp", host: HOST, port: 5300 });
  assert.equal(answer, `${gateway} n0 via ${HOST}`);
});

test("with ICC off containers reach published ports but not one another", async () => {
  await using lab = await Lab.make({ icc: false });
  const web = await lab.container(published);
  const other = await lab.container();
  await web.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const direct = await other.agent.ask({ do: "tcp", host: web.address, port: 80, ...BRIEFLY });
  assert.ok(["timeout", "EHOSTUNREACH"].includes(direct), direct);
  assert.match(await other.agent.ask({ do: "tcp", host: HOST, port: 8080 }), /bye$/);
  assert.match(await lab.host.ask({ do: "tcp", host: web.address, port: 80 }), /bye$/);
});

test("reachability does not depend on br_netfilter", async () => {
  await using lab = await Lab.make();
  await lab.run({
    op: "write",
    path: "/proc/sys/net/bridge/bridge-nf-call-iptables",
    data: Buffer.from("0"),
  });
  const web = await lab.container(published);
  const other = await lab.container();
  await web.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const ask = { do: "tcp", host: HOST, port: 8080 } as const;
  for (const from of [web.agent, other.agent, lab.remote]) {
    assert.match(await from.ask(ask), /bye$/);
  }
});

test("a dual-stack bridge publishes both families and masquerades both", async () => {
  await using lab = await Lab.make({ ipv6: true, fixedCidrV6: "fd77::/64" });
  const web = await lab.container(published);
  assert.equal(web.attachment.record.ipv6?.address, "fd77::2");
  await web.agent.ask({ do: "listen", protocol: "tcp", port: 80, host: "::" });
  const ask = { do: "tcp", port: 8080 } as const;
  assert.match(await lab.remote.ask({ ...ask, host: "fd01::1" }), /^fd01::9\n/);
  assert.match(await lab.remote.ask({ ...ask, host: HOST }), /192\.0\.2\.9\nbye$/);
  assert.match(await lab.host.ask({ ...ask, host: "::1" }), /^fd77::1\n/);
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000, host: "::" });
  assert.match(await web.agent.ask({ do: "tcp", host: "fd01::9", port: 7000 }), /^fd01::1\n/);
});
