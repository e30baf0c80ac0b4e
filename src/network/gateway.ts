// The default routes of a container that is on several networks: one a family, over the network
// that the engine names. They are replaced in place, so that none is missing for a moment.

import { errnoOf } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { Family } from "./addresses.ts";
import type { AttachmentRecord } from "./contract.ts";
import type { NetworkRecord } from "./network-record.ts";
import { RouteWriter } from "./rtnetlink.ts";
import { NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

const SLOT_NETNS = 39;
const SLOT_LINK = 41;
const FAMILIES: readonly Family[] = [4, 6];

export interface Gateways {
  ipv4?: AttachmentRecord | undefined;
  ipv6?: AttachmentRecord | undefined;
}

/** Leads the default routes of the process `pid` over these of its networks. */
export async function leadGateways(
  native: Native,
  gateways: Gateways,
  networkOf: (record: AttachmentRecord) => NetworkRecord | undefined,
  pid: number,
): Promise<void> {
  const path = `/proc/${pid}/ns/net`;
  for (const plan of planGateways(gateways, networkOf, SLOT_NETNS)) {
    const host: Operation[] = [{ op: "open", path, flags: 0, to: SLOT_NETNS }, ...plan];
    await native.run({ host }).catch((error) => {
      if (!NO_ROUTE.has(errnoOf(error) ?? "")) throw error;
    });
  }
}

/** One plan a family, for the namespace of slot `netns`. A family without a gateway loses its
 * default route: a plan that fails with one of NO_ROUTE where it has none. */
function planGateways(
  gateways: Gateways,
  networkOf: (record: AttachmentRecord) => NetworkRecord | undefined,
  netns: number,
): Operation[][] {
  return FAMILIES.map((family) => {
    const record = gateways[`ipv${family}`];
    const network = record && networkOf(record);
    return (record && network && over(record, network, family, netns)) ?? without(family, netns);
  });
}

/** How the kernels' two protocols say that there is no route to delete, or no such protocol. */
const NO_ROUTE = new Set(["ESRCH", "ENOENT", "EOPNOTSUPP", "EAFNOSUPPORT"]);

function over(
  record: AttachmentRecord,
  { lan }: NetworkRecord,
  family: Family,
  netns: number,
): Operation[] | undefined {
  const gateway = record[`ipv${family}`]?.gateway;
  // On layer 3 there is nobody to ask for a hardware address: the link itself is the way.
  const direct = lan?.mode === "l3" || lan?.mode === "l3s";
  if (!direct && !gateway) return undefined;
  const link = { slot: SLOT_LINK };
  const way = direct ? {} : { gateway: gateway! };
  return [
    { op: "interfaceIndex", name: record.interfaceName, netns, to: SLOT_LINK },
    route(new RouteWriter().addRoute({ link, family, ...way }), netns),
  ];
}

const without = (family: Family, netns: number): Operation[] => [
  route(new RouteWriter().deleteDefaultRoute(family), netns),
];

const route = (writer: RouteWriter, netns: number): Operation => ({
  op: "netlink",
  protocol: NETLINK_ROUTE,
  ...writer.finish(),
  netns,
});
