// What our one nftables table says. Its rules never change; networks and published ports are
// elements of its sets and maps, so each costs the same whether it is the first or the five
// hundredth, and every change is one transaction. Foreign tables are never touched.
//
// No rule needs route_localnet: what arrives at a loopback address is carried by the port holder.
// 127/8 from a wire is dropped all the same, for hosts where someone else has set it
// (CVE-2020-13401). A container port that was not published is unreachable from outside its
// bridge even for a neighbour that adds a route to it: `inward` ends in a drop.

import { addressBytes, lastOf, parseSubnet, sizeOf, valueBytes } from "./addresses.ts";
import type { NetlinkData } from "./netlink-message.ts";
import {
  anyBit,
  type BaseChain,
  compare,
  concat,
  dnat,
  interfaceBytes,
  loadAddressType,
  loadConntrack,
  loadMeta,
  loadPayload,
  lookup,
  masquerade,
  NftBatch,
  portBytes,
  type SetElement,
  type SetShape,
  verdict,
} from "./nftables.ts";

/** One bridge as the firewall sees it. */
export interface FirewallNetwork {
  bridge: string;
  subnets: readonly string[]; // CIDR, both families
  masquerade: boolean;
  /** Containers of the bridge may talk to one another. */
  icc: boolean;
  /** No way in or out but the bridge itself. */
  internal: boolean;
}

/** One published port that the kernel shall forward. */
export interface Forwarding {
  protocol: "tcp" | "udp" | "sctp";
  /** "0.0.0.0" and "::" mean every local address of that family. */
  hostIp: string;
  hostPort: number;
  address: string; // of the container, same family
  port: number;
}

const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
const NFPROTO_IPV4 = Uint8Array.of(2);
const NFPROTO_IPV6 = Uint8Array.of(10);
const RTN_LOCAL = Uint8Array.of(2, 0, 0, 0);
const CT_ESTABLISHED_OR_RELATED = 0x6;
const IPS_DST_NAT = 0x20;
const IPV6_LOOPBACK = addressBytes("::1");
const PRIORITY = { raw: -300, dstnat: -100, filter: 0, srcnat: 100 } as const;

const SETS: readonly SetShape[] = [
  { name: "any4", key: ["protocol", "port"], value: ["ipv4", "port"] },
  { name: "any6", key: ["protocol", "port"], value: ["ipv6", "port"] },
  { name: "addr4", key: ["protocol", "ipv4", "port"], value: ["ipv4", "port"] },
  { name: "addr6", key: ["protocol", "ipv6", "port"], value: ["ipv6", "port"] },
  { name: "own4", key: ["ipv4", "interface"], interval: true },
  { name: "own6", key: ["ipv6", "interface"], interval: true },
  { name: "masq4", key: ["ipv4"], interval: true },
  { name: "masq6", key: ["ipv6"], interval: true },
  { name: "bridges", key: ["interface"] },
  { name: "internal", key: ["interface"] },
  { name: "icc", key: ["interface", "interface"] },
];

/** Replaces the whole table in one transaction: connections live on, strays are gone. */
export function planFirewall(
  table: string,
  networks: readonly FirewallNetwork[],
  forwardings: readonly Forwarding[],
): NetlinkData {
  const batch = new NftBatch(table).addTable().deleteTable().addTable();
  for (const set of SETS) batch.addSet(set);
  batch
    .addChain("publish")
    .addChain("inward")
    .addChain("early", { type: "filter", hook: "prerouting", priority: PRIORITY.raw })
    .addChain("prerouting", { type: "nat", hook: "prerouting", priority: PRIORITY.dstnat })
    .addChain("output", { type: "nat", hook: "output", priority: PRIORITY.dstnat })
    .addChain("postrouting", { type: "nat", hook: "postrouting", priority: PRIORITY.srcnat })
    .addChain("forward", { type: "filter", hook: "forward", priority: PRIORITY.filter });
  addDestinationRules(batch);
  addSourceRules(batch);
  addFilterRules(batch);
  for (const network of networks) addNetworkElements(batch, network, "addElements");
  addForwardingElements(batch, forwardings, "addElements");
  return batch.finish();
}

const isFamily = (family: 4 | 6) => [
  loadMeta("nfproto"),
  compare("eq", family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6),
];
const loadSource = (family: 4 | 6, to = 0) =>
  family === 4 ? loadPayload("network", 12, 4, to) : loadPayload("network", 8, 16, to);
const loadDestination = (family: 4 | 6, to = 0) =>
  family === 4 ? loadPayload("network", 16, 4, to) : loadPayload("network", 24, 16, to);
const words = (family: 4 | 6): number => (family === 4 ? 1 : 4);

function addDestinationRules(batch: NftBatch): void {
  for (const family of [4, 6] as const) {
    const map = { to: 0 };
    batch.addRule(
      "publish",
      ...isFamily(family),
      loadMeta("l4proto"),
      loadDestination(family, 1),
      loadPayload("transport", 2, 2, 1 + words(family)),
      lookup(`addr${family}`, map),
      dnat(family),
    );
    batch.addRule(
      "publish",
      ...isFamily(family),
      loadMeta("l4proto"),
      loadPayload("transport", 2, 2, 1),
      lookup(`any${family}`, map),
      dnat(family),
    );
  }
  const local = [loadAddressType(), compare("eq", RTN_LOCAL), verdict({ jump: "publish" })];
  batch.addRule("prerouting", ...local);
  // Loopback is the port holder's: a connection from 127.0.0.1 cannot leave for a bridge.
  batch.addRule(
    "output",
    ...isFamily(4),
    loadPayload("network", 16, 1),
    compare("neq", Uint8Array.of(127)),
    ...local,
  );
  batch.addRule(
    "output",
    ...isFamily(6),
    loadDestination(6),
    compare("neq", IPV6_LOOPBACK),
    ...local,
  );
}

function addSourceRules(batch: NftBatch): void {
  for (const family of [4, 6] as const) {
    const own = [
      ...isFamily(family),
      loadSource(family),
      loadMeta("oifname", words(family)),
      lookup(`own${family}`),
    ];
    // Hairpin: answers to a neighbour on the same bridge must come back through us.
    batch.addRule("postrouting", ...own, loadConntrack("status"), anyBit(IPS_DST_NAT), masquerade);
    batch.addRule("postrouting", ...own, verdict("return"));
    batch.addRule(
      "postrouting",
      ...isFamily(family),
      loadSource(family),
      lookup(`masq${family}`),
      masquerade,
    );
  }
}

function addFilterRules(batch: NftBatch): void {
  batch.addRule(
    "early",
    ...isFamily(4),
    loadPayload("network", 16, 1),
    compare("eq", Uint8Array.of(127)),
    loadMeta("iifname"),
    compare("neq", interfaceBytes("lo")),
    verdict("drop"),
  );
  batch
    .addRule("forward", loadMeta("oifname"), lookup("bridges"), verdict({ jump: "inward" }))
    .addRule("forward", loadMeta("iifname"), lookup("internal"), verdict("drop"));
  batch
    .addRule("inward", loadConntrack("state"), anyBit(CT_ESTABLISHED_OR_RELATED), verdict("accept"))
    // Frames between ports of one bridge come by here where bridge-nf-call-iptables is set.
    .addRule(
      "inward",
      loadMeta("iifname"),
      loadMeta("oifname", 4),
      lookup("icc"),
      verdict("accept"),
    )
    .addRule("inward", loadConntrack("status"), anyBit(IPS_DST_NAT), verdict("accept"))
    .addRule("inward", verdict("drop"));
}

type Change = "addElements" | "deleteElements";

function addNetworkElements(batch: NftBatch, network: FirewallNetwork, change: Change): void {
  const name = interfaceBytes(network.bridge);
  batch[change]("bridges", [{ key: name }]);
  if (network.internal) batch[change]("internal", [{ key: name }]);
  if (network.icc) batch[change]("icc", [{ key: concat(name, name) }]);
  for (const text of network.subnets) {
    const subnet = parseSubnet(text);
    const first = valueBytes(subnet.family, subnet.base);
    const last = valueBytes(subnet.family, lastOf(subnet));
    batch[change](`own${subnet.family}`, [
      { key: concat(first, name), keyEnd: concat(last, name) },
    ]);
    if (!network.masquerade || network.internal) continue;
    const end = valueBytes(subnet.family, subnet.base + sizeOf(subnet));
    batch[change](`masq${subnet.family}`, [{ key: first }, { key: end, intervalEnd: true }]);
  }
}

function addForwardingElements(
  batch: NftBatch,
  forwardings: readonly Forwarding[],
  change: Change,
): void {
  const elements = new Map<string, SetElement[]>();
  for (const forwarding of forwardings) {
    const { set, element } = forwardingElement(forwarding, change === "addElements");
    const list = elements.get(set);
    if (list) list.push(element);
    else elements.set(set, [element]);
  }
  for (const [set, list] of elements) batch[change](set, list);
}

function forwardingElement(
  f: Forwarding,
  withValue: boolean,
): { set: string; element: SetElement } {
  const host = addressBytes(f.hostIp);
  const family = host.length === 4 ? 4 : 6;
  const any = host.every((byte) => byte === 0);
  const protocol = Uint8Array.of(PROTOCOL[f.protocol]);
  const port = portBytes(f.hostPort);
  const element: SetElement = { key: any ? concat(protocol, port) : concat(protocol, host, port) };
  if (withValue) element.value = concat(addressBytes(f.address), portBytes(f.port));
  return { set: `${any ? "any" : "addr"}${family}`, element };
}

export function planAddNetwork(table: string, network: FirewallNetwork): NetlinkData {
  const batch = new NftBatch(table);
  addNetworkElements(batch, network, "addElements");
  return batch.finish();
}
export function planRemoveNetwork(table: string, network: FirewallNetwork): NetlinkData {
  const batch = new NftBatch(table);
  addNetworkElements(batch, network, "deleteElements");
  return batch.finish();
}
export function planAddForwardings(table: string, list: readonly Forwarding[]): NetlinkData {
  const batch = new NftBatch(table);
  addForwardingElements(batch, list, "addElements");
  return batch.finish();
}
/** All of them are there or none is: they were added in one transaction (ENOENT: none). */
export function planRemoveForwardings(table: string, list: readonly Forwarding[]): NetlinkData {
  const batch = new NftBatch(table);
  addForwardingElements(batch, list, "deleteElements");
  return batch.finish();
}
/** One transaction, so that a port that only changes its target is never without one. */
export function planChangeForwardings(
  table: string,
  o: { remove: readonly Forwarding[]; add: readonly Forwarding[] },
): NetlinkData {
  const batch = new NftBatch(table);
  addForwardingElements(batch, o.remove, "deleteElements");
  addForwardingElements(batch, o.add, "addElements");
  return batch.finish();
}
export function planRemoveFirewall(table: string): NetlinkData {
  return new NftBatch(table).addTable().deleteTable().finish();
}

/** Base chains of others in the forward hook whose policy drops: our accept does not win over
 * them, since every table of the hook must accept. */
export function foreignDrops(chains: readonly BaseChain[], ownTable: string): BaseChain[] {
  const FORWARD = 2;
  const families = new Set([1, 2, 10]);
  return chains.filter(
    (chain) =>
      chain.hook === FORWARD &&
      chain.drops &&
      families.has(chain.family) &&
      chain.table !== ownTable,
  );
}
