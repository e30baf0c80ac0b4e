// What the host's network looks like now: links, addresses, routes and foreign firewall chains,
// read in one plan. Used at start to find what is ours, what is stray and what would conflict.

import type { Native } from "../native/index.ts";
import { parseSubnet, type Subnet } from "./addresses.ts";
import {
  dumpAddresses,
  dumpLinks,
  dumpRoutes,
  type Link,
  type LinkAddress,
  type Route,
  readAddresses,
  readLinks,
  readRoutes,
} from "./rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

export interface HostState {
  links: Link[];
  addresses: LinkAddress[];
  routes: Route[];
  /** The kernel has IPv6 at all. */
  ipv6Stack: boolean;
  /** And it is switched on. */
  ipv6: boolean;
  ipForward: boolean;
  ipv6Forward: boolean;
  /** Frames between ports of a bridge can be shown to the firewall (br_netfilter). */
  bridgeNetfilter: boolean;
  portRange: { first: number; last: number };
}

const SYSCTL_BYTES_MAX = 4096;
const DEFAULT_RANGE = { first: 32768, last: 60999 };

export async function readHostState(native: Native): Promise<HostState> {
  const dump = (data: Uint8Array) => ({ op: "netlink" as const, protocol: NETLINK_ROUTE, data });
  const file = (path: string) => ({
    op: "readFile" as const,
    path,
    max: SYSCTL_BYTES_MAX,
    missingOk: true,
  });
  const results = await native.run({
    host: [
      dump(dumpLinks()),
      dump(dumpAddresses()),
      dump(dumpRoutes()),
      file("/proc/sys/net/ipv6/conf/all/disable_ipv6"),
      file("/proc/sys/net/ipv4/ip_forward"),
      file("/proc/sys/net/ipv4/ip_local_port_range"),
      file("/proc/sys/net/bridge/bridge-nf-call-iptables"),
      file("/proc/sys/net/ipv6/conf/all/forwarding"),
    ],
  });
  const bytes = (index: number) => (results.has(index) ? results.bytes(index) : new Uint8Array());
  const text = (index: number) => new TextDecoder().decode(bytes(index)).trim();
  const [first, last] = text(5).split(/\s+/).map(Number);
  return {
    links: readLinks(bytes(0)),
    addresses: readAddresses(bytes(1)),
    routes: readRoutes(bytes(2)),
    ipv6Stack: results.has(3) && text(3) !== "",
    ipv6: text(3) === "0",
    ipForward: text(4) === "1",
    ipv6Forward: text(7) === "1",
    bridgeNetfilter: text(6) !== "",
    portRange: first && last ? { first, last } : DEFAULT_RANGE,
  };
}

/** Subnets that the host routes elsewhere than over `ownLink`: ours must not overlap them. */
export function routedSubnets(state: HostState, ownLink: number): Subnet[] {
  return state.routes
    .filter((route) => route.prefix > 0 && route.link !== ownLink)
    .map((route) => parseSubnet(`${route.address}/${route.prefix}`));
}
