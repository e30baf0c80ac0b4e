// The bridge driver's plans: the bridge itself, a container's place on it, and the way back.
// Pure. One veth pair a container, its inner end born inside the container's namespace; no step
// forks, sleeps or polls. Slots 40 to 59 of a plan belong to the network.

import type { Operation } from "../native/index.ts";
import type { AttachmentRecord } from "./contract.ts";
import type { AttachPlan, HostTraits } from "./driver.ts";
import { rulesOf } from "./endpoint-rules.ts";
import { planAddEndpoint, planRemoveEndpoint, sizeOfRules } from "./firewall-elements.ts";
import type { NetlinkData } from "./netlink-message.ts";
import type { NetworkRecord } from "./network-record.ts";
import { NETLINK_NETFILTER } from "./nftables.ts";
import { RouteWriter } from "./rtnetlink.ts";
import { NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

// Several networks of one container use the same slots, one after the other.
const SLOT_BRIDGE = 40;
const SLOT_INNER = 41;
const EEXIST = 17;
const ENOENT = 2;
const ENODEV = 19;
const MTU_MIN = 68;
const CARRIER_BYTES_MAX = 16;

const route = (data: NetlinkData, more: { netns?: number; ignore?: number } = {}): Operation => ({
  op: "netlink",
  protocol: NETLINK_ROUTE,
  ...data,
  ...more,
});
export const nft = (data: NetlinkData, more: { ignore?: number } = {}): Operation => ({
  op: "netlink",
  protocol: NETLINK_NETFILTER,
  ...data,
  ...more,
});
export const writeSysctl = (path: string, value: string): Operation => ({
  op: "write",
  path: `/proc/sys/${path}`,
  data: new TextEncoder().encode(value),
});

/** Makes the bridge where it is missing and gives it what the record says. */
export function planBridge(record: NetworkRecord, host: HostTraits, alias: string): Operation[] {
  const bridge = record.bridge!;
  const hasV6 = record.pools.some((pool) => pool.subnet.includes(":"));
  const plan: Operation[] = [
    route(
      new RouteWriter()
        .addBridge(bridge.name, { mtu: mtuOf(bridge.mtu), mac: bridge.mac })
        .finish(),
      { ignore: EEXIST },
    ),
    // One that was there before stays its owner's.
    ...(bridge.adopted ? [] : [route(new RouteWriter().setAlias(bridge.name, alias).finish())]),
    { op: "interfaceIndex", name: bridge.name, to: SLOT_BRIDGE },
  ];
  if (!bridge.icc && host.filtersFrames) {
    plan.push(route(new RouteWriter().filterFrames(bridge.name).finish()));
  }
  if (host.ipv6) {
    if (!hasV6) {
      const quiet = new RouteWriter().setLink({ slot: SLOT_BRIDGE }, { noLinkLocal: true });
      plan.push(route(quiet.finish()));
    }
  }
  const last = new RouteWriter();
  for (const pool of record.pools) {
    const own = pool.bridgeAddress ?? pool.gateway;
    if (own) last.addAddress({ slot: SLOT_BRIDGE }, own, Number(pool.subnet.split("/")[1]));
  }
  plan.push(route(last.setLink({ slot: SLOT_BRIDGE }, { up: true }).finish()));
  return plan;
}

/** What the host needs to route for the network; forwarding comes after the firewall. */
export function sysctlsOf(
  record: NetworkRecord,
  host: { ipForward: boolean; ipv6Forward: boolean; ipv6Stack: boolean },
  ipForward: boolean,
): [path: string, value: string][] {
  const wanted: [path: string, value: string][] = [];
  // A bridge of ours takes no advice on routes from its containers.
  if (host.ipv6Stack) wanted.push([`net/ipv6/conf/${record.bridge!.name}/accept_ra`, "0"]);
  if (ipForward && !host.ipForward) wanted.push(["net/ipv4/ip_forward", "1"]);
  if (ipForward && record.ipv6 && !host.ipv6Forward) {
    wanted.push(["net/ipv6/conf/all/forwarding", "1"]);
  }
  return wanted;
}

/** Families whose forwarding they switch on. */
export const enabledBy = (sysctls: readonly [path: string, value: string][]): (4 | 6)[] =>
  sysctls.flatMap(([path]) =>
    path === "net/ipv4/ip_forward" ? [4] : path === "net/ipv6/conf/all/forwarding" ? [6] : [],
  );

/** 0 leaves the kernel's default. */
const mtuOf = (mtu: number): number => (mtu >= MTU_MIN ? mtu : 0);

export function planRemoveBridge(record: NetworkRecord): Operation[] {
  const { name } = record.bridge!;
  return [route(new RouteWriter().deleteLink(name).finish(), { ignore: ENODEV })];
}

export function planAttach(o: AttachPlan, slots: { netns: number }): Operation[] {
  const { endpoint } = o;
  const bridge = o.network.bridge!;
  const { hostInterface, interfaceName } = endpoint;
  const { netns } = slots;
  const plan: Operation[] = [
    { op: "interfaceIndex", name: bridge.name, to: SLOT_BRIDGE },
    route(outerPair(o, { slot: SLOT_BRIDGE }, netns)),
    { op: "interfaceIndex", name: interfaceName, netns, to: SLOT_INNER },
    route(innerEnd(o, { slot: SLOT_INNER }), { netns }),
    // The outer end learns in the kernel's own time that its peer went up, and drops frames until
    // then: under load a container's first packet. Asking for the carrier makes it learn now.
    {
      op: "readFile",
      path: `/sys/class/net/${hostInterface}/carrier`,
      max: CARRIER_BYTES_MAX,
      missingOk: true,
    },
  ];
  const rules = rulesOf(endpoint);
  if (o.table && sizeOfRules(rules) > 0) {
    plan.push(nft(planAddEndpoint(o.table, rules)));
  }
  return plan;
}

function outerPair(o: AttachPlan, bridge: { slot: number }, netns: number): NetlinkData {
  const { endpoint } = o;
  const writer = new RouteWriter().addVeth({
    name: endpoint.hostInterface,
    mtu: mtuOf(o.network.bridge!.mtu),
    peer: { name: endpoint.interfaceName, netns, mac: endpoint.macAddress },
  });
  // Before it goes up: the kernel makes a link-local address in that moment.
  if (o.host.ipv6) writer.setLink(endpoint.hostInterface, { noLinkLocal: true });
  writer.setLink(endpoint.hostInterface, { master: bridge, up: true });
  // Hairpin: a container reaches its own published port also where br_netfilter is on, which
  // translates on the bridge and sends the frame back to the port that it came from.
  writer.setBridgePort(endpoint.hostInterface, {
    hairpin: true,
    ...(!o.network.bridge!.icc && { isolated: !o.host.filtersFrames }),
  });
  // An earlier owner of the address may have had another MAC.
  for (const ip of [endpoint.ipv4, endpoint.ipv6]) {
    if (ip) writer.setNeighbour(bridge, ip.address, endpoint.macAddress);
  }
  return writer.finish();
}

function innerEnd(o: AttachPlan, link: { slot: number }): NetlinkData {
  const { ipv4, ipv6 } = o.endpoint;
  const writer = new RouteWriter();
  if (o.host.ipv6 && !ipv6) writer.setLink(link, { noLinkLocal: true });
  const { linkLocal = [] } = o.endpoint;
  for (const ip of [ipv4, ipv6, ...linkLocal]) {
    if (ip) writer.addAddress(link, ip.address, ip.prefix);
  }
  writer.setLink(link, { up: true });
  if (o.network.internal) return writer.finish();
  const leads = (family: 4 | 6): boolean => o.gatewayOf.includes(family);
  if (ipv4?.gateway && leads(4)) writer.addRoute({ link, family: 4, gateway: ipv4.gateway });
  if (ipv6?.gateway && leads(6)) writer.addRoute({ link, family: 6, gateway: ipv6.gateway });
  return writer.finish();
}

/** Takes the container off its bridge, also half-way on; the inner end goes with the outer. This
 * much also the monitor does, whoever is faster: the name is this endpoint's alone. */
export function planLeave(endpoint: AttachmentRecord): Operation[] {
  return [route(new RouteWriter().deleteLink(endpoint.hostInterface).finish(), { ignore: ENODEV })];
}

/** Ends the forwarding of its ports. Only the daemon does, in order with the next owner of the
 * same host port: a late monitor would take that one's away. */
export function planUnforward(endpoint: AttachmentRecord, table: string): Operation[] {
  const rules = rulesOf(endpoint);
  if (sizeOfRules(rules) === 0) return [];
  return [nft(planRemoveEndpoint(table, rules), { ignore: ENOENT })];
}
