// What a network driver is: plans, pure, from records. The layer leases addresses, claims ports,
// keeps records and runs the plans; a driver says what the kernel must be told. A new driver is an
// object of this shape, a row in `drivers` and the answers of its own kind in create-network.ts.

import { errnoOf, GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import { planAttach, planBridge, planLeave, planRemoveBridge } from "./bridge.ts";
import type { AttachmentRecord } from "./contract.ts";
import { planAttachLan, planDisconnectLan, planLan, planLeaveLan, planRemoveLan } from "./lan.ts";
import type { NetworkRecord } from "./network-record.ts";

/** What planners must know of the host. */
export interface HostTraits {
  /** The kernel has IPv6 (it may be switched off at boot). */
  ipv6: boolean;
  /** The firewall sees frames between ports of a bridge, so it is the firewall that keeps
   * containers apart (ICC off). Otherwise isolated ports do, and then only what the host routes
   * gets across. With br_netfilter they would stop published ports too. */
  filtersFrames: boolean;
}

export interface AttachPlan {
  network: NetworkRecord;
  endpoint: AttachmentRecord;
  /** Absent: no firewall, the port holder carries the ports. */
  table?: string;
  host: HostTraits;
  /** Families whose default route goes over this network. */
  gatewayOf: readonly (4 | 6)[];
}

export interface NetworkDriver {
  /** Makes the network's own share of the kernel, also where some of it is there already.
   * `alias` marks links as this daemon's. */
  planNetwork(record: NetworkRecord, host: HostTraits, alias: string): Operation[];
  planRemove(record: NetworkRecord): Operation[];
  /** Gives the container in the namespace of slot `netns` its place. Slots 40 to 59. */
  planAttach(plan: AttachPlan, slots: { netns: number }): Operation[];
  /** Undoes planAttach, also a half-done one, also a second time. */
  planLeave(endpoint: AttachmentRecord): Operation[];
  /** Takes it out of a namespace (slot) that lives on, where planLeave does not reach. */
  planDisconnect?(endpoint: AttachmentRecord, netns: number): Operation[];
  /** Its containers' ports can be published on the host's addresses. */
  publishes: boolean;
}

/** By NetworkRecord.driver; host and none have no share in the kernel. */
const drivers: Readonly<Record<string, NetworkDriver>> = {
  bridge: {
    planNetwork: planBridge,
    planRemove: (record) => (record.bridge?.adopted ? [] : planRemoveBridge(record)),
    planAttach,
    planLeave,
    publishes: true,
  },
  macvlan: lan(),
  ipvlan: lan(),
};

function lan(): NetworkDriver {
  return {
    planNetwork: planLan,
    planRemove: planRemoveLan,
    planAttach: planAttachLan,
    planLeave: planLeaveLan,
    planDisconnect: planDisconnectLan,
    publishes: false,
  };
}

/** Kinds of links are modules of the kernel, and not every kernel has them. */
export function explainMissingLink({ driver, lan }: NetworkRecord, error: unknown): unknown {
  if (errnoOf(error) !== "EOPNOTSUPP" || !lan) return error;
  const kind = lan.makes?.kind === "vlan" ? "8021q" : (lan.makes?.kind ?? driver);
  const remedy = lan.makes?.kind === "dummy" ? " or name an interface with -o parent=" : "";
  return new GantryError(
    "not-implemented",
    `the kernel has no ${kind} links: load the module (modprobe ${kind})${remedy}`,
    { cause: error },
  );
}

/** Throws invalid for host and none: they have no endpoints. */
export function driverOf(network: NetworkRecord): NetworkDriver {
  const driver = drivers[network.driver];
  if (driver) return driver;
  throw new GantryError("invalid", `A ${network.name} network has no endpoints to attach`);
}
