// The rules of our one nftables table. They never change; networks and published ports are
// elements of its sets and maps (firewall-elements.ts), so each costs the same whether it is the
// first or the five hundredth, and every change is one transaction.
//
// No rule needs route_localnet: what arrives at a loopback address is carried by the port holder.
// 127/8 from a wire is dropped all the same, for hosts where someone else has set it
// (CVE-2020-13401). A container port that was not published is unreachable from outside its
// bridge even for a neighbour that adds a route to it: `inward` ends in a drop.

import { addressBytes } from "./addresses.ts";
import {
  addEndpointElements,
  addNetworkElements,
  type EndpointRules,
  type Families,
  type FirewallNetwork,
  SETS,
} from "./firewall-elements.ts";
import type { NetlinkData } from "./netlink-message.ts";
import {
  anyBit,
  bitwise,
  compare,
  dnat,
  hostU32,
  interfaceBytes,
  loadAddressType,
  loadConntrack,
  loadMeta,
  loadPayload,
  lookup,
  masquerade,
  NftBatch,
  snat,
  storeMark,
  verdict,
} from "./nftables.ts";

export interface FirewallShape {
  /** Families that are ours to filter; packets of others pass. */
  families: Families;
  /** What arrives for a published port is translated here; otherwise the port holder gets it, as
   * where the host does not forward or another firewall drops what is forwarded. */
  forwards: boolean;
  /** Families whose forwarding was switched on for our sake: nobody else's packets use it. */
  guards: Families;
  /** Packets with this mark are let in (--bridge-accept-fwmark). */
  acceptMark?: { value: number; mask: number };
}

const NFPROTO = { 4: Uint8Array.of(2), 6: Uint8Array.of(10) } as const;
const ICMP = { 4: Uint8Array.of(1), 6: Uint8Array.of(58) } as const;
const RTN_LOCAL = Uint8Array.of(2, 0, 0, 0);
const CT_ESTABLISHED_OR_RELATED = 0x6;
const IPS_DST_NAT = 0x20;
const IPV6_LOOPBACK = addressBytes("::1");
const PRIORITY = { raw: -300, dstnat: -100, filter: 0, srcnat: 100, last: 1000 } as const;
/** Bridges of other engines: what goes to their containers is theirs to allow. */
const OTHERS_BRIDGES = ["docker", "br-", "podman", "cni", "virbr", "lxdbr", "lxcbr"];

/** The bit of a packet's mark by which chains of others know what our table lets through. It is
 * set and cleared within the forward hook. */
export const VOUCHED_MARK = 0x0800_0000;

/** Replaces the whole table in one transaction: connections live on, strays are gone. */
export function planFirewall(
  table: string,
  shape: FirewallShape,
  networks: readonly FirewallNetwork[],
  endpoints: readonly EndpointRules[],
): NetlinkData {
  const batch = new NftBatch(table).addTable().deleteTable().addTable();
  for (const set of SETS) batch.addSet(set);
  batch
    .addChain("publish")
    .addChain("opened")
    .addChain("inward")
    .addChain("early", { type: "filter", hook: "prerouting", priority: PRIORITY.raw })
    .addChain("prerouting", { type: "nat", hook: "prerouting", priority: PRIORITY.dstnat })
    .addChain("output", { type: "nat", hook: "output", priority: PRIORITY.dstnat })
    .addChain("postrouting", { type: "nat", hook: "postrouting", priority: PRIORITY.srcnat })
    .addChain("forward", { type: "filter", hook: "forward", priority: PRIORITY.filter });
  addDestinationRules(batch, shape);
  addSourceRules(batch);
  addFilterRules(batch, shape);
  for (const network of networks) addNetworkElements(batch, network, "addElements");
  for (const endpoint of endpoints) addEndpointElements(batch, endpoint, "addElements");
  return batch.finish();
}

const isFamily = (family: 4 | 6) => [loadMeta("nfproto"), compare("eq", NFPROTO[family])];
const loadSource = (family: 4 | 6, to = 0) =>
  family === 4 ? loadPayload("network", 12, 4, to) : loadPayload("network", 8, 16, to);
const loadDestination = (family: 4 | 6, to = 0) =>
  family === 4 ? loadPayload("network", 16, 4, to) : loadPayload("network", 24, 16, to);
const loadPort = (to: number) => loadPayload("transport", 2, 2, to);
const words = (family: 4 | 6): number => (family === 4 ? 1 : 4);

const toLocal = [loadAddressType(), compare("eq", RTN_LOCAL), verdict({ jump: "publish" })];

function addDestinationRules(batch: NftBatch, { families, forwards }: FirewallShape): void {
  for (const family of families) {
    const map = { to: 0 };
    const port = 1 + words(family);
    const toAddress = [loadMeta("l4proto"), loadDestination(family, 1), loadPort(port)];
    const toPort = [loadMeta("l4proto"), loadPort(1)];
    const found = (set: string) => [lookup(`${set}${family}`, map), dnat(family)];
    const inRange = (set: string) => [
      lookup(`${set}range${family}`, map),
      dnat(family, "same port"),
    ];
    batch
      .addRule("publish", ...isFamily(family), ...toAddress, ...found("addr"))
      .addRule("publish", ...isFamily(family), ...toAddress, ...inRange("addr"))
      .addRule("publish", ...isFamily(family), ...toPort, ...found("any"))
      .addRule("publish", ...isFamily(family), ...toPort, ...inRange("any"));
  }
  if (forwards) batch.addRule("prerouting", ...toLocal);
  // Loopback is the port holder's: a connection from 127.0.0.1 cannot leave for a bridge.
  batch.addRule(
    "output",
    ...isFamily(4),
    loadPayload("network", 16, 1),
    compare("neq", Uint8Array.of(127)),
    ...toLocal,
  );
  batch.addRule(
    "output",
    ...isFamily(6),
    loadDestination(6),
    compare("neq", IPV6_LOOPBACK),
    ...toLocal,
  );
}

/** Changes `forwards` of a table that is there. */
export function planSwitchForwards(table: string, forwards: boolean): NetlinkData {
  const batch = new NftBatch(table).flushChain("prerouting");
  if (forwards) batch.addRule("prerouting", ...toLocal);
  return batch.finish();
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
    const source = [...isFamily(family), loadSource(family)];
    const to = { to: 0 };
    batch
      .addRule("postrouting", ...source, lookup(`masq${family}`), masquerade)
      .addRule("postrouting", ...source, lookup(`snat${family}`, to), snat(family));
  }
}

/** From one port of a bridge to another: such frames come by where bridge-nf-call-iptables is. */
const withinBridge = [loadMeta("iifname"), loadMeta("oifname", 4), lookup("icc")];

function addFilterRules(batch: NftBatch, { families, guards, acceptMark }: FirewallShape): void {
  batch.addRule(
    "early",
    ...isFamily(4),
    loadPayload("network", 16, 1),
    compare("eq", Uint8Array.of(127)),
    loadMeta("iifname"),
    compare("neq", interfaceBytes("lo")),
    verdict("drop"),
  );
  for (const family of [4, 6] as const) {
    if (!families.includes(family))
      batch.addRule("forward", ...isFamily(family), verdict("accept"));
  }
  for (const way of ["iifname", "oifname"] as const) {
    const internal = [loadMeta(way), lookup("internal")];
    batch.addRule("forward", ...internal, ...withinBridge, verdict("accept"));
    batch.addRule("forward", ...internal, verdict("drop"));
  }
  batch
    .addRule("forward", loadMeta("oifname"), lookup("bridges"), verdict({ jump: "inward" }))
    .addRule("forward", loadMeta("iifname"), lookup("bridges"), verdict("accept"));
  for (const family of guards) {
    // Bridges of other engines and of virtual machines have owners who see to them.
    for (const kind of ["iifkind", "oifkind"] as const) {
      const isBridge = compare("eq", interfaceBytes("bridge"));
      batch.addRule("forward", ...isFamily(family), loadMeta(kind), isBridge, verdict("accept"));
    }
    batch.addRule("forward", ...isFamily(family), verdict("drop"));
  }
  batch
    .addRule("inward", loadConntrack("state"), anyBit(CT_ESTABLISHED_OR_RELATED), verdict("accept"))
    .addRule("inward", ...withinBridge, verdict("accept"))
    .addRule("inward", loadConntrack("status"), anyBit(IPS_DST_NAT), verdict("accept"));
  if (acceptMark) {
    const { value, mask } = acceptMark;
    const marked = [loadMeta("mark"), bitwise(mask, 0), compare("eq", hostU32(value & mask))];
    batch.addRule("inward", ...marked, verdict("accept"));
  }
  addDirectRules(batch);
  batch.addRule("inward", verdict("drop"));
}

/** What may come to a container's own address without translation. */
function addDirectRules(batch: NftBatch): void {
  const opened = verdict({ jump: "opened" });
  for (const family of [4, 6] as const) {
    const into = (set: string) => [
      ...isFamily(family),
      loadMeta("oifname"),
      lookup(`${set}${family}`),
    ];
    const isIcmp = [loadMeta("l4proto"), compare("eq", ICMP[family])];
    batch
      .addRule("inward", ...into("unprotected"), verdict("accept"))
      .addRule("inward", ...into("routed"), ...isIcmp, verdict("accept"))
      .addRule("inward", ...into("direct"), opened)
      .addRule(
        "inward",
        ...isFamily(family),
        loadMeta("iifname"),
        loadSource(family, 4),
        loadDestination(family, 4 + words(family)),
        loadMeta("l4proto", 4 + 2 * words(family)),
        loadPort(5 + 2 * words(family)),
        lookup(`linked${family}`),
        verdict("accept"),
      )
      .addRule(
        "opened",
        ...isFamily(family),
        loadMeta("l4proto"),
        loadDestination(family, 1),
        loadPort(1 + words(family)),
        lookup(`open${family}`),
        verdict("accept"),
      );
  }
  const fromTrusted = [loadMeta("iifname"), loadMeta("oifname", 4), lookup("trusted")];
  batch.addRule("inward", ...fromTrusted, opened);
}

export function planRemoveFirewall(table: string): NetlinkData {
  return new NftBatch(table).addTable().deleteTable().finish();
}

/** Two chains that mark, while others look, what our table lets through. What it drops may be
 * marked too: every table of a hook must accept. */
export function addVouchingChains(batch: NftBatch): void {
  batch
    .addChain("vouch", { type: "filter", hook: "forward", priority: PRIORITY.filter - 1 })
    .addChain("unvouch", { type: "filter", hook: "forward", priority: PRIORITY.last });
  const mark = [loadMeta("mark"), bitwise(0xffff_ffff, VOUCHED_MARK), storeMark];
  const clear = [loadMeta("mark"), bitwise(~VOUCHED_MARK >>> 0, 0), storeMark];
  // Nobody else brings the mark along.
  for (const chain of ["vouch", "unvouch"]) {
    batch.flushChain(chain);
    batch.addRule(chain, loadMeta("mark"), anyBit(VOUCHED_MARK), ...clear);
  }
  batch.addRule("vouch", loadMeta("oifname"), lookup("bridges"), ...mark, verdict("return"));
  for (const prefix of OTHERS_BRIDGES) {
    const text = new TextEncoder().encode(prefix);
    batch.addRule("vouch", loadMeta("oifname"), compare("eq", text), verdict("return"));
  }
  batch.addRule("vouch", loadMeta("iifname"), lookup("bridges"), ...mark);
}
export function removeVouchingChains(batch: NftBatch): void {
  for (const chain of ["vouch", "unvouch"]) batch.flushChain(chain).deleteChain(chain);
}
