// What our table's sets and maps hold: networks, published ports, ports that are open at the
// container's own address. Pure. A port, or a range of ports that keep their numbers, is one
// element; a range whose numbers change is an element a port, since nftables cannot add.

import { addressBytes, lastOf, parseSubnet, sizeOf, valueBytes } from "./addresses.ts";
import type { NetlinkData } from "./netlink-message.ts";
import {
  concat,
  interfaceBytes,
  NftBatch,
  portBytes,
  type SetElement,
  type SetShape,
} from "./nftables.ts";

export type Families = readonly (4 | 6)[];
export type Protocol = "tcp" | "udp" | "sctp";

/** One bridge as the firewall sees it. */
export interface FirewallNetwork {
  bridge: string;
  subnets: readonly string[]; // CIDR, both families
  masquerade: boolean;
  /** The address that its containers have for others, in the place of the way's own. */
  hostIps?: { 4?: string; 6?: string };
  /** Containers of the bridge may talk to one another. */
  icc: boolean;
  /** No way in or out but the bridge itself. */
  internal: boolean;
  /** Families in which nothing is translated: ports are reached at the containers' addresses. */
  routed?: Families;
  /** Families in which every port of every container is reached at its own address. */
  unprotected?: Families;
  /** Families in which ports that are open are so for everyone; the others' for `trusted`. */
  direct?: Families;
  /** Interfaces of the host from where open ports are reached at the containers' addresses. */
  trusted?: readonly string[];
}

/** One published port, or several in a row, that the kernel shall forward. */
export interface Forwarding {
  protocol: Protocol;
  /** "0.0.0.0" and "::" mean every local address of that family. */
  hostIp: string;
  hostPort: number;
  address: string; // of the container, same family
  port: number;
  count?: number;
}

/** A port, or several in a row, that may be reached at the container's own address. */
export interface Opening {
  protocol: Protocol;
  address: string;
  port: number;
  count?: number;
}

/** A way from one container to a port of another, on a bridge whose containers have none. */
export interface LinkRule {
  bridge: string;
  from: string;
  to: string; // same family
  protocol: Protocol;
  port: number;
}

/** Everything that one endpoint has in our table. */
export interface EndpointRules {
  forwardings: readonly Forwarding[];
  openings: readonly Opening[];
  links?: readonly LinkRule[];
}

export const sizeOfRules = ({ forwardings, openings, links = [] }: EndpointRules): number =>
  forwardings.length + openings.length + links.length;

const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;

export const SETS: readonly SetShape[] = [
  { name: "any4", key: ["protocol", "port"], value: ["ipv4", "port"] },
  { name: "any6", key: ["protocol", "port"], value: ["ipv6", "port"] },
  { name: "addr4", key: ["protocol", "ipv4", "port"], value: ["ipv4", "port"] },
  { name: "addr6", key: ["protocol", "ipv6", "port"], value: ["ipv6", "port"] },
  { name: "anyrange4", key: ["protocol", "port"], value: ["ipv4"], interval: true },
  { name: "anyrange6", key: ["protocol", "port"], value: ["ipv6"], interval: true },
  { name: "addrrange4", key: ["protocol", "ipv4", "port"], value: ["ipv4"], interval: true },
  { name: "addrrange6", key: ["protocol", "ipv6", "port"], value: ["ipv6"], interval: true },
  { name: "open4", key: ["protocol", "ipv4", "port"], interval: true },
  { name: "open6", key: ["protocol", "ipv6", "port"], interval: true },
  { name: "own4", key: ["ipv4", "interface"], interval: true },
  { name: "own6", key: ["ipv6", "interface"], interval: true },
  { name: "masq4", key: ["ipv4"], interval: true },
  { name: "masq6", key: ["ipv6"], interval: true },
  { name: "snat4", key: ["ipv4"], value: ["ipv4"], interval: true },
  { name: "snat6", key: ["ipv6"], value: ["ipv6"], interval: true },
  { name: "bridges", key: ["interface"] },
  { name: "internal", key: ["interface"] },
  { name: "routed4", key: ["interface"] },
  { name: "routed6", key: ["interface"] },
  { name: "unprotected4", key: ["interface"] },
  { name: "unprotected6", key: ["interface"] },
  { name: "direct4", key: ["interface"] },
  { name: "direct6", key: ["interface"] },
  { name: "trusted", key: ["interface", "interface"] },
  { name: "icc", key: ["interface", "interface"] },
  { name: "linked4", key: ["interface", "ipv4", "ipv4", "protocol", "port"] },
  { name: "linked6", key: ["interface", "ipv6", "ipv6", "protocol", "port"] },
];

export type Change = "addElements" | "deleteElements";

export function addNetworkElements(
  batch: NftBatch,
  network: FirewallNetwork,
  change: Change,
): void {
  const name = interfaceBytes(network.bridge);
  batch[change]("bridges", [{ key: name }]);
  if (network.internal) batch[change]("internal", [{ key: name }]);
  if (network.icc) batch[change]("icc", [{ key: concat(name, name) }]);
  for (const kind of ["routed", "unprotected", "direct"] as const) {
    for (const family of network[kind] ?? []) batch[change](`${kind}${family}`, [{ key: name }]);
  }
  const trusted = (network.trusted ?? []).map((way) => ({
    key: concat(interfaceBytes(way), name),
  }));
  if (trusted.length > 0) batch[change]("trusted", trusted);
  for (const text of network.subnets) {
    const subnet = parseSubnet(text);
    const first = valueBytes(subnet.family, subnet.base);
    const last = valueBytes(subnet.family, lastOf(subnet));
    batch[change](`own${subnet.family}`, [
      { key: concat(first, name), keyEnd: concat(last, name) },
    ]);
    if (!network.masquerade || network.internal || network.routed?.includes(subnet.family))
      continue;
    const end = valueBytes(subnet.family, subnet.base + sizeOf(subnet));
    const hostIp = network.hostIps?.[subnet.family];
    const value = hostIp && change === "addElements" ? { value: addressBytes(hostIp) } : {};
    batch[change](`${hostIp ? "snat" : "masq"}${subnet.family}`, [
      { key: first, ...value },
      { key: end, intervalEnd: true },
    ]);
  }
}

export function addEndpointElements(batch: NftBatch, rules: EndpointRules, change: Change): void {
  const elements = new Map<string, SetElement[]>();
  const put = (set: string, element: SetElement): void => {
    const list = elements.get(set);
    if (list) list.push(element);
    else elements.set(set, [element]);
  };
  for (const forwarding of rules.forwardings) {
    for (const { set, element } of forwardingElements(forwarding)) {
      if (change === "deleteElements") delete element.value;
      put(set, element);
    }
  }
  for (const { protocol, address, port, count = 1 } of rules.openings) {
    const [of, ip] = [Uint8Array.of(PROTOCOL[protocol]), addressBytes(address)];
    put(`open${ip.length === 4 ? 4 : 6}`, {
      key: concat(of, ip, portBytes(port)),
      keyEnd: concat(of, ip, portBytes(port + count - 1)),
    });
  }
  for (const { bridge, from, to, protocol, port } of rules.links ?? []) {
    const [source, destination] = [addressBytes(from), addressBytes(to)];
    const of = Uint8Array.of(PROTOCOL[protocol]);
    put(`linked${source.length === 4 ? 4 : 6}`, {
      key: concat(interfaceBytes(bridge), source, destination, of, portBytes(port)),
    });
  }
  for (const [set, list] of elements) batch[change](set, list);
}

/** Where a published port stands in the table. */
export function* forwardingElements(
  f: Forwarding,
): Generator<{ set: string; element: SetElement }> {
  const host = addressBytes(f.hostIp);
  const family = host.length === 4 ? 4 : 6;
  const any = host.every((byte) => byte === 0);
  const protocol = Uint8Array.of(PROTOCOL[f.protocol]);
  const key = (port: number): Uint8Array =>
    any ? concat(protocol, portBytes(port)) : concat(protocol, host, portBytes(port));
  const name = any ? "any" : "addr";
  const { count = 1 } = f;
  if (count > 1 && f.hostPort === f.port) {
    const element = { key: key(f.hostPort), keyEnd: key(f.hostPort + count - 1) };
    yield { set: `${name}range${family}`, element: { ...element, value: addressBytes(f.address) } };
    return;
  }
  for (let at = 0; at < count; at++) {
    const value = concat(addressBytes(f.address), portBytes(f.port + at));
    yield { set: `${name}${family}`, element: { key: key(f.hostPort + at), value } };
  }
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
export function planAddEndpoint(table: string, rules: EndpointRules): NetlinkData {
  const batch = new NftBatch(table);
  addEndpointElements(batch, rules, "addElements");
  return batch.finish();
}
/** All of it is there or nothing is: it was added in one transaction (ENOENT: nothing). */
export function planRemoveEndpoint(table: string, rules: EndpointRules): NetlinkData {
  const batch = new NftBatch(table);
  addEndpointElements(batch, rules, "deleteElements");
  return batch.finish();
}
/** One transaction, so that a port that only changes its target is never without one. */
export function planChangeEndpoint(
  table: string,
  o: { remove: EndpointRules; add: EndpointRules },
): NetlinkData {
  const batch = new NftBatch(table);
  addEndpointElements(batch, o.remove, "deleteElements");
  addEndpointElements(batch, o.add, "addElements");
  return batch.finish();
}
