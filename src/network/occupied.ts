// What is in the way of a new subnet, by name: a container network whose subnet overlaps a VPN's is
// the pain, and "overlaps" without saying with what is no help.

import { formatSubnet, overlaps, parseSubnet, type Subnet } from "./addresses.ts";
import type { HostState } from "./host-state.ts";
import type { NetworkRecord } from "./network-record.ts";

export interface Occupied {
  subnet: Subnet;
  /** "network db", "the host's tun0" or "the host's route over 10.0.0.1 (tun0)". */
  by: string;
}

/** The subnets of our own networks. */
export const occupiedByNetworks = (networks: readonly NetworkRecord[]): Occupied[] =>
  networks.flatMap(({ name, pools }) =>
    pools.map(({ subnet }) => ({ subnet: parseSubnet(subnet), by: `network ${name}` })),
  );

/** The host's interfaces, with their addresses and prefixes. */
export const linksWithAddresses = ({ links, addresses }: HostState) =>
  links.map(({ name, kind, index }) => ({
    name,
    kind,
    addresses: addresses
      .filter((one) => one.index === index)
      .map(({ address, prefix }) => `${address}/${prefix}`),
  }));

/** What the host routes, but for the routes of our own bridges, which are named as networks, and
 * of the bridge that a new network is to use. */
export function occupiedByHost(
  host: HostState,
  networks: readonly NetworkRecord[],
  own?: string,
): Occupied[] {
  const ours = new Set([own, ...networks.map(({ bridge }) => bridge?.name)]);
  const names = new Map(host.links.map(({ index, name }) => [index, name]));
  return host.routes.flatMap(({ address, prefix, link, gateway }) => {
    const name = names.get(link) ?? `interface ${link}`;
    if (prefix === 0 || ours.has(name)) return [];
    const by = gateway ? `the host's route over ${gateway} (${name})` : `the host's ${name}`;
    return [{ subnet: parseSubnet(`${address}/${prefix}`), by }];
  });
}

export const conflictOf = (subnet: Subnet, occupied: readonly Occupied[]): Occupied | undefined =>
  occupied.find((one) => overlaps(subnet, one.subnet));

/** "10.9.0.0/24 overlaps 10.0.0.0/8 of network vpn". */
export const conflictText = (subnet: Subnet, { subnet: other, by }: Occupied): string =>
  `${formatSubnet(subnet)} overlaps ${formatSubnet(other)} of ${by}`;
