// macvlan and ipvlan networks: containers as neighbours of the host on its own wire. The remote
// machine of the lab is on the other end of that wire.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RouteWriter } from "../../src/network/rtnetlink.ts";
import { dumpLinks, readLinks } from "../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";
import { BRIEFLY, HOST, Lab, REMOTE } from "../support/network-lab.ts";

async function links(lab: Lab): Promise<string[]> {
  const results = await lab.native.run({
    host: [{ op: "netlink", protocol: NETLINK_ROUTE, data: dumpLinks() }],
  });
  return readLinks(results.bytes(0)).map(({ name }) => name);
}
async function hasDummies(lab: Lab): Promise<boolean> {
  const { data } = new RouteWriter().addDummy("probe0").deleteLink("probe0").finish();
  return lab.native.run({ host: [{ op: "netlink", protocol: NETLINK_ROUTE, data }] }).then(
    () => true,
    () => false,
  );
}
const wire = (options: Record<string, string> = {}) => ({
  Driver: "macvlan",
  Options: { parent: "up0", ...options },
  IPAM: { Config: [{ Subnet: "192.0.2.0/24", IPRange: "192.0.2.128/25", Gateway: REMOTE }] },
});

test("macvlan containers reach the wire and one another, and are reached, but not by the host", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "lan", ...wire() });
  const a = await lab.container([], "a", { networkName: "lan" });
  const b = await lab.container([], "b", { networkName: "lan" });
  assert.equal(a.address, "192.0.2.128");
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  assert.equal(await a.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${a.address}\nbye`);
  assert.equal(await a.agent.ask({ do: "tcp", host: b.address, port: 80 }), `${a.address}\nbye`);
  assert.match(await lab.remote.ask({ do: "tcp", host: b.address, port: 80 }), /bye$/);
  const fromHost = await lab.host.ask({ do: "tcp", host: b.address, port: 80, ...BRIEFLY });
  assert.notEqual(fromHost.slice(-3), "bye");
});

test("private mode keeps neighbours on one parent apart", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "lan", ...wire({ macvlan_mode: "private" }) });
  const a = await lab.container([], "a", { networkName: "lan" });
  const b = await lab.container([], "b", { networkName: "lan" });
  await b.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const said = await a.agent.ask({ do: "tcp", host: b.address, port: 80, ...BRIEFLY });
  assert.match(said, /timeout|EHOSTUNREACH/);
});

test("without a parent a network of its own is made, and removed with it", async (t) => {
  await using lab = await Lab.make();
  if (!(await hasDummies(lab))) {
    const made = lab.network.createNetwork({ Name: "alone", Driver: "macvlan" });
    await assert.rejects(made, /the kernel has no dummy links: load the module .* -o parent=/);
    assert.deepEqual(
      lab.network.describe().filter(({ Name }) => Name === "alone"),
      [],
    );
    return t.diagnostic("this kernel has no dummy links: only the refusal is tested");
  }
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

test("a running container joins a wire and leaves it", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "lan", ...wire() });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  const box = await lab.container([], "box");
  const { pid } = box.agent;
  const record = await lab.network.connect({
    containerId: "c".repeat(64),
    networkName: "lan",
    settings: {},
    publish: [],
    interfaceName: "eth1",
    position: 1,
    pid,
  });
  const { address } = record.ipv4!;
  assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${address}\nbye`);
  await lab.network.disconnect(record, { pid });
  assert.match(
    await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }),
    new RegExp(`^${HOST}`),
  );
});

test("what cannot be is refused with what there is", async () => {
  await using lab = await Lab.make();
  const make = (o: object) => lab.network.createNetwork({ Name: "bad", ...o });
  await assert.rejects(make(wire({ parent: "nope0" })), /does not exist on the host: nope0.*up0/);
  await assert.rejects(make(wire({ parent: "up0.4095" })), /vlan id must be between 1-4094/);
  await assert.rejects(make(wire({ macvlan_mode: "odd" })), /'odd' is not valid/);
  await lab.network.createNetwork({ Name: "lan", ...wire() });
  const other = { ...wire(), Driver: "ipvlan", IPAM: { Config: [{ Subnet: "10.5.0.0/24" }] } };
  await assert.rejects(make(other), /already using parent interface up0/);
  assert.deepEqual(
    lab.network.describe().filter(({ Name }) => Name === "bad"),
    [],
  );
});
