// From records to what the firewall holds of them: a network's traits, an endpoint's ports. Pure,
// so that what was added is known again when it is to be removed.

import { parseAddress } from "./addresses.ts";
import type { AttachmentRecord, PublishedPort, Reach } from "./contract.ts";
import type {
  EndpointRules,
  Families,
  FirewallNetwork,
  Forwarding,
  LinkRule,
} from "./firewall-elements.ts";
import type { NetworkRecord } from "./network-record.ts";
import { LOOPBACK_HOST_IPS } from "./options.ts";

export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

/** What of the daemon's options decides how published ports are reached. */
export interface ExposureOptions {
  ip6tables: boolean;
  allowDirectRouting: boolean;
  publishFilter: "none" | "input";
}

const BOTH: Families = [4, 6];

export const gatewayModeOf = ({ bridge }: NetworkRecord, family: 4 | 6): GatewayMode =>
  bridge?.gatewayModes?.[family] ?? "nat";
const familiesIn = (record: NetworkRecord, mode: GatewayMode): Families =>
  BOTH.filter((family) => gatewayModeOf(record, family) === mode);

/** How an endpoint's published ports are reached; kept in its record. */
export function exposureOf(
  network: NetworkRecord,
  options: ExposureOptions,
): Pick<AttachmentRecord, "carried" | "opens"> {
  const { publishFilter = options.publishFilter, trusted = [] } = network.bridge ?? {};
  const carried = publishFilter === "input" ? BOTH : options.ip6tables ? [] : ([6] as const);
  const everyone = options.allowDirectRouting || trusted.length > 0;
  const opens = everyone ? BOTH : familiesIn(network, "routed");
  return {
    ...(carried.length > 0 && { carried: [...carried] }),
    ...(opens.length > 0 && { opens: [...opens] }),
  };
}

/** What an endpoint may reach of its neighbours, where that is not all. */
export function reachesOf(
  { bridge }: NetworkRecord,
  ports: readonly Reach[] = [],
): Pick<AttachmentRecord, "reaches"> {
  if (!bridge || bridge.icc || ports.length === 0) return {};
  return { reaches: { bridge: bridge.name, ports: [...ports] } };
}

/** An endpoint's share of the table. Loopback, and IPv6 to IPv4, are the port holder's. */
export function rulesOf(endpoint: AttachmentRecord): EndpointRules {
  const forwardings = endpoint.ports.flatMap((port) => forwardingOf(endpoint, port));
  const openings = new Map<string, EndpointRules["openings"][number]>();
  for (const { protocol, hostIp, hostPort, containerPort, count } of endpoint.ports) {
    if (LOOPBACK_HOST_IPS.test(hostIp)) continue;
    const row = { protocol, port: containerPort, ...(count && { count }) };
    for (const family of endpoint.opens ?? []) {
      const inner = endpoint[`ipv${family}`];
      // One without a host port is open in its own family only.
      if (!inner || (hostPort === 0 && familyOf(hostIp) !== family)) continue;
      openings.set(`${family} ${JSON.stringify(row)}`, { ...row, address: inner.address });
    }
  }
  const rules = { forwardings, openings: withoutOverlaps([...openings.values()]) };
  const links = linksOf(endpoint);
  return links.length > 0 ? { ...rules, links } : rules;
}

function linksOf(endpoint: AttachmentRecord): LinkRule[] {
  const { bridge, ports } = endpoint.reaches ?? { bridge: "", ports: [] };
  const rules = ports.flatMap(({ address, protocol, port }): LinkRule[] => {
    const from = endpoint[`ipv${familyOf(address)}`]?.address;
    return from ? [{ bridge, from, to: address, protocol, port }] : [];
  });
  // Two names for one container.
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}

/** Interval sets refuse what overlaps: the same port published twice, alone and in a row. */
function withoutOverlaps(openings: EndpointRules["openings"][number][]) {
  const last = ({ port, count = 1 }: { port: number; count?: number }): number => port + count - 1;
  const wider = openings.toSorted((a, b) => (b.count ?? 1) - (a.count ?? 1));
  const kept: typeof openings = [];
  for (const one of wider) {
    const clash = kept.some(
      (other) =>
        other.address === one.address &&
        other.protocol === one.protocol &&
        other.port <= last(one) &&
        one.port <= last(other),
    );
    if (!clash) kept.push(one);
  }
  return kept;
}

const familyOf = (ip: string): 4 | 6 => parseAddress(ip)?.family ?? 4;

function forwardingOf(endpoint: AttachmentRecord, port: PublishedPort): Forwarding[] {
  const { protocol, hostIp, hostPort, containerPort, count } = port;
  if (LOOPBACK_HOST_IPS.test(hostIp) || hostPort === 0) return [];
  const family = familyOf(hostIp);
  const inner = endpoint[`ipv${family}`];
  if (!inner || endpoint.carried?.includes(family)) return [];
  const { address } = inner;
  return [{ protocol, hostIp, hostPort, address, port: containerPort, ...(count && { count }) }];
}

export function firewallNetwork(record: NetworkRecord, options: ExposureOptions): FirewallNetwork {
  const bridge = record.bridge!;
  const routed = familiesIn(record, "routed");
  const direct = options.allowDirectRouting ? BOTH : routed;
  const unprotected = familiesIn(record, "nat-unprotected");
  const { trusted = [] } = bridge;
  return {
    bridge: bridge.name,
    subnets: record.pools
      .map((pool) => pool.subnet)
      .filter((subnet) => options.ip6tables || !subnet.includes(":")),
    masquerade: bridge.masquerade,
    ...(bridge.hostIps && { hostIps: bridge.hostIps }),
    icc: bridge.icc,
    internal: record.internal,
    ...(routed.length > 0 && { routed }),
    ...(direct.length > 0 && { direct }),
    ...(unprotected.length > 0 && { unprotected }),
    ...(trusted.length > 0 && { trusted }),
  };
}
