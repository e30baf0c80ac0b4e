// The plans of the macvlan and ipvlan drivers: containers are neighbours of the host on a parent
// interface, without a bridge, a firewall or published ports of ours between them and the wire. A
// link is born in the container's namespace and goes with it. Slots 40 to 59 are the network's.

import type { Operation } from "../native/index.ts";
import type { AttachmentRecord } from "./contract.ts";
import type { AttachPlan, HostTraits } from "./driver.ts";
import type { LanConfig, NetworkRecord } from "./network-record.ts";
import { RouteWriter } from "./rtnetlink.ts";
import { IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES, NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

const SLOT_PARENT = 40;
const SLOT_INNER = 41;
const EEXIST = 17;
const ENODEV = 19;

const route = (writer: RouteWriter, more: { netns?: number; ignore?: number } = {}): Operation => ({
  op: "netlink",
  protocol: NETLINK_ROUTE,
  ...writer.finish(),
  ...more,
});

/** Makes the parent where it is the network's own, and sees that it is there otherwise. */
export function planLan(record: NetworkRecord, _host: HostTraits, alias: string): Operation[] {
  const { parent, makes } = record.lan!;
  const plan: Operation[] = [];
  if (makes?.kind === "dummy") {
    plan.push(route(new RouteWriter().addDummy(parent), { ignore: EEXIST }));
  } else if (makes) {
    plan.push({ op: "interfaceIndex", name: makes.link, to: SLOT_PARENT });
    const vlan = new RouteWriter().addVlan(parent, { slot: SLOT_PARENT }, makes.id);
    plan.push(route(vlan, { ignore: EEXIST }));
  }
  plan.push({ op: "interfaceIndex", name: parent, to: SLOT_PARENT });
  if (!makes) return plan;
  plan.push(route(new RouteWriter().setAlias(parent, alias)));
  plan.push(route(new RouteWriter().setLink({ slot: SLOT_PARENT }, { up: true })));
  return plan;
}

export function planRemoveLan(record: NetworkRecord): Operation[] {
  const { parent, makes } = record.lan!;
  return makes ? [route(new RouteWriter().deleteLink(parent), { ignore: ENODEV })] : [];
}

export function planAttachLan(o: AttachPlan, { netns }: { netns: number }): Operation[] {
  const { endpoint } = o;
  const lan = o.network.lan!;
  const kind = o.network.driver === "macvlan" ? "macvlan" : "ipvlan";
  return [
    { op: "interfaceIndex", name: lan.parent, to: SLOT_PARENT },
    route(
      new RouteWriter().addLan({
        name: endpoint.interfaceName,
        netns,
        parent: { slot: SLOT_PARENT },
        mode: modeOf(kind, lan),
        mtu: lan.mtu,
        // All of a parent's ipvlan links share its address.
        ...(kind === "macvlan" && { mac: endpoint.macAddress }),
      }),
    ),
    { op: "interfaceIndex", name: endpoint.interfaceName, netns, to: SLOT_INNER },
    route(innerEnd(o, lan), { netns }),
  ];
}

function modeOf(
  kind: "macvlan" | "ipvlan",
  { mode, flag }: LanConfig,
): { macvlan: number } | { ipvlan: number; flags: number } {
  if (kind === "macvlan") return { macvlan: MACVLAN_MODES[mode as keyof typeof MACVLAN_MODES] };
  return {
    ipvlan: IPVLAN_MODES[mode as keyof typeof IPVLAN_MODES],
    flags: IPVLAN_FLAGS[flag as keyof typeof IPVLAN_FLAGS],
  };
}

function innerEnd(o: AttachPlan, lan: LanConfig): RouteWriter {
  const { ipv4, ipv6 } = o.endpoint;
  const link = { slot: SLOT_INNER };
  const writer = new RouteWriter();
  if (o.host.ipv6 && !ipv6) writer.setLink(link, { noLinkLocal: true });
  const { linkLocal = [] } = o.endpoint;
  for (const ip of [ipv4, ipv6, ...linkLocal]) {
    if (ip) writer.addAddress(link, ip.address, ip.prefix);
  }
  writer.setLink(link, { up: true });
  if (o.network.internal) return writer;
  // On layer 3 there is nobody to ask for a hardware address: the link itself is the way.
  const direct = lan.mode === "l3" || lan.mode === "l3s";
  for (const [family, ip] of [
    [4, ipv4],
    [6, ipv6],
  ] as const) {
    if (!ip || !o.gatewayOf.includes(family)) continue;
    if (direct) writer.addRoute({ link, family });
    else if (ip.gateway) writer.addRoute({ link, family, gateway: ip.gateway });
  }
  return writer;
}

/** The link goes with its namespace; a container that runs on loses it by `planDisconnectLan`. */
export const planLeaveLan = (): Operation[] => [];

export function planDisconnectLan(endpoint: AttachmentRecord, netns: number): Operation[] {
  const gone = new RouteWriter().deleteLink(endpoint.interfaceName);
  return [route(gone, { netns, ignore: ENODEV })];
}
