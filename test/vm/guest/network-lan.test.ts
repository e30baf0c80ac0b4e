// Kinds of links that the build machine's kernel lacks, on Debian's: ipvlan on layer 2 and 3,
// macvlan on a dummy, and 802.1q sub-interfaces that come and go with their network. The lab's
// remote machine is on the other end of the host's wire.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { before, test } from "node:test";
import type { Operation } from "../../../src/native/index.ts";
import { RouteWriter } from "../../../src/network/rtnetlink.ts";
import { dumpLinks, readLinks } from "../../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../../src/network/rtnetlink-numbers.ts";
import { BRIEFLY, HOST, Lab, REMOTE } from "../../support/network-lab.ts";

before(() => {
  execFileSync("modprobe", ["-a", "ipvlan", "macvlan", "8021q", "dummy", "veth", "bridge"]);
});

async function links(lab: Lab): Promise<string[]> {
  const results = await lab.native.run({
    host: [{ op: "netlink", protocol: NETLINK_ROUTE, data: dumpLinks() }],
  });
  return readLinks(results.bytes(0)).map(({ name }) => name);
}
const route = (writer: RouteWriter, netns?: number): Operation => ({
  op: "netlink",
  protocol: NETLINK_ROUTE,
  ...writer.finish(),
  ...(netns !== undefined && { netns }),
});
const ipvlan = (Subnet: string, Options: Record<string, string>) => ({
  Driver: "ipvlan",
  Options: { parent: "up0", ...Options },
  IPAM: { Config: [{ Subnet }] },
});

test("ipvlan on layer 2: neighbours of the remote machine and of one another", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({
    Name: "l2",
    Driver: "ipvlan",
    Options: { parent: "up0" },
    IPAM: { Config: [{ Subnet: "192.0.2.0/24", IPRange: "192.0.2.128/25", Gateway: REMOTE }] },
  });
  const a = await lab.container([], "a", { networkName: "l2" });
  const b = await lab.container([], "b", { networkName: "l2" });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.equal(await a.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${a.address}\nbye`);
  assert.equal(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), `${a.address}\nbye`);
  assert.match(await lab.remote.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
});

test("ipvlan on layer 3: reached over routes, without a gateway's address", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "l3", ...ipvlan("10.60.0.0/24", { ipvlan_mode: "l3" }) });
  const a = await lab.container([], "a", { networkName: "l3" });
  const b = await lab.container([], "b", { networkName: "l3" });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.equal(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), `${a.address}\nbye`);
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  const nobody = await lab.remote.ask({ do: "tcp", host: b.address, port: 80, ...BRIEFLY });
  assert.notEqual(nobody.slice(-3), "bye", "the remote machine knows no way");
  await lab.routeFromRemote("10.60.0.0/24");
  assert.match(await lab.remote.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
  assert.equal(await a.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${a.address}\nbye`);
});

test("ipvlan in private mode keeps neighbours apart", async () => {
  await using lab = await Lab.make();
  const o = ipvlan("10.61.0.0/24", { ipvlan_flag: "private" });
  await lab.network.createNetwork({ Name: "apart", ...o });
  const a = await lab.container([], "a", { networkName: "apart" });
  const b = await lab.container([], "b", { networkName: "apart" });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const said = await a.agent.ask({ do: "tcp", host: b.address, port: 80, ...BRIEFLY });
  assert.match(said, /timeout|EHOSTUNREACH/);
});

test("macvlan without a parent has a dummy, which goes with the network", async () => {
  await using lab = await Lab.make();
  const { id } = await lab.network.createNetwork({ Name: "alone", Driver: "macvlan" });
  assert.ok((await links(lab)).includes(`dm-${id.slice(0, 12)}`));
  const a = await lab.container([], "a", { networkName: "alone" });
  const b = await lab.container([], "b", { networkName: "alone" });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.match(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
  await a.end();
  await b.end();
  await lab.network.removeNetwork("alone");
  assert.ok(!(await links(lab)).some((name) => name.startsWith("dm-")));
});

for (const driver of ["macvlan", "ipvlan"]) {
  test(`${driver} on an 802.1q sub-interface that is made and removed with its network`, async () => {
    await using lab = await Lab.make();
    // The remote machine's end of VLAN 50.
    await lab.run(
      { op: "open", path: lab.remote.netns, flags: 0, to: 1 },
      { op: "interfaceIndex", name: "eth0", netns: 1, to: 2 },
      route(new RouteWriter().addVlan("eth0.50", { slot: 2 }, 50), 1),
      { op: "interfaceIndex", name: "eth0.50", netns: 1, to: 3 },
      route(
        new RouteWriter()
          .addAddress({ slot: 3 }, "10.50.0.9", 24)
          .setLink({ slot: 3 }, { up: true }),
        1,
      ),
    );
    await lab.network.createNetwork({
      Name: "tagged",
      Driver: driver,
      Options: { parent: "up0.50" },
      IPAM: { Config: [{ Subnet: "10.50.0.0/24" }] },
    });
    assert.ok((await links(lab)).includes("up0.50"));
    const box = await lab.container([], "box", { networkName: "tagged" });
    await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
    const said = await box.agent.ask({ do: "tcp", host: "10.50.0.9", port: 7000 });
    assert.equal(said, `${box.address}\nbye`);
    const untagged = await box.agent.ask({ do: "tcp", host: HOST, port: 7000, ...BRIEFLY });
    assert.notEqual(untagged.slice(-3), "bye");
    await box.end();
    await lab.network.removeNetwork("tagged");
    assert.ok(!(await links(lab)).includes("up0.50"));
  });
}
