// Interfaces of the host that a container gets (linux.netDevices). A network namespace plays the
// host's; what is in which namespace is read from the kernel.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { RouteWriter } from "../../../src/network/rtnetlink.ts";
import {
  dumpAddresses,
  dumpLinks,
  readAddresses,
  readLinks,
} from "../../../src/network/rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "../../../src/network/rtnetlink-numbers.ts";
import type { OciSpec } from "../../../src/spec/index.ts";
import { Agent } from "../../support/network-lab.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { inside, onHost, refused, within, withNamespaces } from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("gantry-runtime's network devices", { skip }, () => {
  let oci: OciFixture;
  let host: Agent;
  let other: Agent;
  let wire: Agent;
  let cables = 0;
  before(async () => {
    oci = await OciFixture.make();
    host = await Agent.start();
    other = await Agent.start();
    wire = await Agent.start();
    oci.netns = host.netns;
  });
  after(async () => {
    await oci[Symbol.asyncDispose]();
    await host?.end();
    await other?.end();
    await wire?.end();
  });

  const change = (netns: string, writer: RouteWriter) =>
    onHost(
      oci,
      { op: "open", path: netns, flags: 0, to: 1 },
      { op: "open", path: wire.netns, flags: 0, to: 2 },
      { op: "netlink", protocol: NETLINK_ROUTE, ...writer.finish(), netns: 1 },
    );

  /** Name → index, whether it is up, addresses of both families. */
  async function linksIn(netns: string) {
    const ask = (data: Uint8Array) =>
      ({ op: "netlink", protocol: NETLINK_ROUTE, data, netns: 1 }) as const;
    const results = await onHost(
      oci,
      { op: "open", path: netns, flags: 0, to: 1 },
      ask(dumpLinks()),
      ask(dumpAddresses()),
    );
    const addresses = results.has(2) ? readAddresses(results.bytes(2)) : [];
    const links = readLinks(results.bytes(1)).map((link) => {
      const own = addresses.filter(({ index }) => index === link.index);
      const text = own.map(({ address, prefix }) => `${address}/${prefix}`);
      return [link.name, { ...link, addresses: text.filter((one) => !one.startsWith("fe80")) }];
    });
    return new Map(links as [string, ReturnType<typeof readLinks>[0] & { addresses: string[] }][]);
  }

  // Each test has its own: what is moved is gone with the container.
  beforeEach(async () => {
    for (const name of (await linksIn(host.netns)).keys()) {
      if (name !== "lo") await change(host.netns, new RouteWriter().deleteLink(name));
    }
    // The other ends are of no matter; the kernel takes its time to delete those of before.
    for (const name of ["gone0", "gone1"]) {
      const peer = { name: `peer${++cables}`, netns: 2 };
      const cable = new RouteWriter().addVeth({ name, peer });
      await change(host.netns, cable);
    }
    const { index } = (await linksIn(host.netns)).get("gone0")!;
    const writer = new RouteWriter()
      .addAddress(index, "192.0.2.7", 24)
      .addAddress(index, "192.0.2.8", 32)
      .addAddress(index, "fd77::1", 64);
    await change(host.netns, writer.setLink(index, { up: true }));
  });

  const moving =
    (netDevices: Record<string, { name?: string }>, path?: string) => (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "network", ...(path && { path }) }] });
      spec.linux!.netDevices = netDevices;
      delete spec.linux!.sysctl;
    };

  test(`a device moves with its name and addresses, and is up ${proves("config", "linux.netDevices")}`, async () => {
    await within(oci, moving({ gone0: {} }), async ({ pid }) => {
      const there = await linksIn(`/proc/${pid}/ns/net`);
      assert.deepEqual([...there.keys()].sort(), ["gone0", "lo"]);
      const { up, addresses } = there.get("gone0")!;
      assert.equal(up, true);
      assert.deepEqual(addresses.sort(), ["192.0.2.7/24", "192.0.2.8/32", "fd77::1/64"]);
      assert.deepEqual([...(await linksIn(host.netns)).keys()].sort(), ["gone1", "lo"]);
    });
    // It is virtual: the kernel deletes it with its namespace.
    assert.equal((await linksIn(host.netns)).has("gone0"), false);
  });

  test(`a device gets its name in the container, also one of another, or one that the kernel chooses ${proves("config", "linux.netDevices.*.name")}`, async () => {
    const swapped = moving({ gone0: { name: "gone1" }, gone1: { name: "eth%d" } });
    await within(oci, swapped, async (container) => {
      const there = await linksIn(`/proc/${container.pid}/ns/net`);
      const [chosen = "", ...names] = [...there.keys()].sort();
      assert.match(chosen, /^eth\d+$/);
      assert.deepEqual(names, ["gone1", "lo"]);
      assert.ok(there.get("gone1")!.addresses.includes("192.0.2.7/24"));
      assert.equal(there.get(chosen)!.up, true);
      const text = await inside(oci, container, "cat", "/proc/net/dev");
      assert.ok(text.includes(`${chosen}:`));
    });
  });

  test("a network namespace that is joined keeps what moved into it", async () => {
    await within(oci, moving({ gone0: { name: "given0" } }, other.netns), async () => {
      assert.ok((await linksIn(other.netns)).get("given0")!.addresses.includes("fd77::1/64"));
    });
    // The runtime must not take it back: the namespace is somebody else's.
    assert.ok((await linksIn(other.netns)).has("given0"));
    assert.match(
      await refused(oci, moving({ gone1: { name: "given0" } }, other.netns)),
      /"given0" is already in the container's network namespace/,
    );
    assert.ok((await linksIn(host.netns)).has("gone1"));
    await change(other.netns, new RouteWriter().deleteLink("given0"));
  });

  test("sysctls of a device that has moved are set", async () => {
    const spec = (it: OciSpec) => {
      moving({ gone0: { name: "net0" } })(it);
      it.linux!.sysctl = { "net.ipv4.conf.net0.arp_ignore": "2" };
    };
    await within(oci, spec, async (container) => {
      const path = "/proc/sys/net/ipv4/conf/net0/arp_ignore";
      assert.equal(await inside(oci, container, "cat", path), "2\n");
    });
  });

  test("a device goes into a user namespace's network, too", async () => {
    const spec = (it: OciSpec) => {
      moving({ gone0: {} })(it);
      withNamespaces(it, { add: [{ type: "user" }] });
      const map = [{ containerID: 0, hostID: 0, size: 70_000 }];
      Object.assign(it.linux!, { uidMappings: map, gidMappings: map });
    };
    await within(oci, spec, async ({ pid }) => {
      assert.ok((await linksIn(`/proc/${pid}/ns/net`)).has("gone0"));
    });
  });

  test("what cannot be moved is an error, and nothing has moved", async () => {
    const cases: [Record<string, { name?: string }>, RegExp][] = [
      [{ nothing: {} }, /network device "nothing" does not exist/],
      [{ gone0: { name: "same" }, gone1: { name: "same" } }, /two network devices/],
      [{ gone0: { name: "lo" } }, /two network devices would be named "lo"/],
      [{ gone0: { name: "a/b" } }, /invalid network device name/],
      [{ gone0: { name: "much-too-long-name" } }, /invalid network device name/],
      [{ gone0: { name: "%d%d" } }, /invalid network device name/],
      [{ lo: {} }, /lo/],
    ];
    for (const [devices, says] of cases) assert.match(await refused(oci, moving(devices)), says);
    const hosts = (spec: OciSpec) => {
      moving({ gone0: {} })(spec);
      withNamespaces(spec, { without: ["network"] });
    };
    assert.match(await refused(oci, hosts), /without a private NET namespace/);
    assert.deepEqual([...(await linksIn(host.netns)).keys()].sort(), ["gone0", "gone1", "lo"]);
  });
});
