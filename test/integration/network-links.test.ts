// What a link opens where containers may not talk to one another, and the address that the packets
// of a network leave with: sockets are opened in real namespaces.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import type { Operation } from "../../src/native/index.ts";
import type { NetlinkData } from "../../src/network/netlink-message.ts";
import { RouteWriter } from "../../src/network/rtnetlink.ts";
import { type Agent, BRIEFLY, HOST, Lab, REMOTE } from "../support/network-lab.ts";

const NETWORK = "com.docker.network.";
/** Without it frames between containers are held back on the bridge, all of them. */
const noFilter =
  !existsSync("/proc/sys/net/bridge/bridge-nf-call-iptables") && "needs br_netfilter in the kernel";

const says = (agent: Agent, host: string, port: number, how = {}): Promise<string> =>
  agent.ask({ do: "tcp", host, port, ...how });
const rt = (data: NetlinkData): Operation => ({ op: "netlink", protocol: 0, ...data });

async function server(lab: Lab, name: string) {
  const box = await lab.container([], name);
  for (const port of [80, 81]) {
    await box.agent.ask({ do: "listen", protocol: "tcp", port, host: "0.0.0.0" });
  }
  return box;
}

test("with icc off a link opens its ports, to the linking container alone", {
  skip: noFilter,
}, async () => {
  await using lab = await Lab.make({ icc: false });
  const web = await server(lab, "web");
  const other = await server(lab, "other");
  const [linking, stranger] = [await lab.container(), await lab.container()];
  const { record } = linking.attachment;
  const port = { protocol: "tcp", port: 80 } as const;

  await lab.network.reach(record, [{ address: web.address, ...port }]);
  assert.match(await says(linking.agent, web.address, 80), /bye$/);
  const closed = await Promise.all([
    says(linking.agent, web.address, 81, BRIEFLY), // not exposed
    says(stranger.agent, web.address, 80, BRIEFLY), // not linked
    says(web.agent, linking.address, 80, BRIEFLY), // one way only
  ]);
  assert.deepEqual(closed, ["timeout", "timeout", "timeout"]);

  await lab.open({ icc: false });
  assert.match(await says(linking.agent, web.address, 80), /bye$/, "after a restart");
  await lab.network.reach(record, [{ address: other.address, ...port }]);
  assert.match(await says(linking.agent, other.address, 80), /bye$/, "the link leads elsewhere");
  assert.equal(await says(linking.agent, web.address, 80, BRIEFLY), "timeout");
  await lab.network.reach(record, []);
  assert.equal(await says(linking.agent, other.address, 80, BRIEFLY), "timeout", "closed again");
});

test("a link of a container that has gone opens nothing to the next owner of its address", {
  skip: noFilter,
}, async () => {
  await using lab = await Lab.make({ icc: false });
  const web = await server(lab, "web");
  const linking = await lab.container();
  const port = { protocol: "tcp", port: 80 } as const;
  await lab.network.reach(linking.attachment.record, [{ address: web.address, ...port }]);
  assert.match(await says(linking.agent, web.address, 80), /bye$/);
  await linking.end();
  const next = await lab.container([], "next", { settings: { IPAddress: linking.address } });
  assert.equal(next.address, linking.address);
  assert.equal(await says(next.agent, web.address, 80, BRIEFLY), "timeout");
});

test("where containers may talk to one another, links change nothing in the firewall", async () => {
  await using lab = await Lab.make();
  const [web, linking] = [await server(lab, "web"), await lab.container()];
  const { record } = linking.attachment;
  await lab.network.reach(record, [{ address: web.address, protocol: "tcp", port: 80 }]);
  assert.equal(record.reaches, undefined);
  assert.match(await says(linking.agent, web.address, 81), /bye$/);
});

test("the packets of a network leave with the address that it was given", async () => {
  await using lab = await Lab.make();
  const [second, second6] = ["192.0.2.77", "fd01::77"];
  await lab.run(
    { op: "interfaceIndex", name: "up0", to: 2 },
    rt(new RouteWriter().addAddress({ slot: 2 }, second, 24).finish()),
    rt(new RouteWriter().addAddress({ slot: 2 }, second6, 64).finish()),
  );
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 80, host: "::" });
  const Options = { [`${NETWORK}host_ipv4`]: second, [`${NETWORK}host_ipv6`]: second6 };
  await lab.network.createNetwork({ Name: "named", EnableIPv6: true, Options });
  const named = await lab.container([], "named", { networkName: "named" });
  const plain = await lab.container([], "plain");
  const seen = async (agent: Agent, host: string) =>
    (await says(agent, host, 80)).replace("::ffff:", "");
  assert.equal(await seen(named.agent, REMOTE), `${second}\nbye`);
  assert.equal(await seen(plain.agent, REMOTE), `${HOST}\nbye`);
  await lab.open();
  assert.equal(await seen(named.agent, REMOTE), `${second}\nbye`, "after a restart");
  await named.end();
  await lab.network.removeNetwork("named");
});
