// Interfaces of containers that no record knows: what a daemon that was killed has left.

import type { Operation } from "../native/index.ts";
import type { AttachmentRecord } from "./contract.ts";
import type { HostState } from "./host-state.ts";
import type { Lease } from "./ipam.ts";
import type { NetworkRecord } from "./network-record.ts";
import { RouteWriter } from "./rtnetlink.ts";
import { NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

const ENODEV = 19;

/** Removes those on our bridges, and those that a lease of a dead endpoint speaks of: one may have
 * died before it got there. On a bridge that is not ours nothing else is touched. */
export function planRemoveStrays(o: {
  host: HostState;
  networks: readonly NetworkRecord[];
  live: Iterable<AttachmentRecord>;
  dead: readonly Lease[];
}): Operation[] {
  const { links } = o.host;
  const live = new Set([...o.live].map(({ hostInterface }) => hostInterface));
  const ours = new Set(
    o.networks.flatMap(({ bridge }) => (bridge && !bridge.adopted ? bridge.name : [])),
  );
  const bridges = new Set(links.filter(({ name }) => ours.has(name)).map(({ index }) => index));
  const known = new Set(o.dead.map(({ link }) => link));
  const strays = links.filter(
    ({ master, kind, name }) =>
      kind === "veth" && !live.has(name) && (known.has(name) || bridges.has(master)),
  );
  return strays.map(({ index }) => ({
    op: "netlink",
    protocol: NETLINK_ROUTE,
    ...new RouteWriter().deleteLink(index).finish(),
    ignore: ENODEV,
  }));
}
