// A network on record, and how inspect shows it. Host and none are networks without a share of
// their own in the kernel; their ids are made once and kept.

import { randomBytes } from "node:crypto";
import type { PoolConfig } from "./ipam.ts";

export interface NetworkRecord {
  id: string;
  name: string;
  driver: "bridge" | "macvlan" | "ipvlan" | "host" | "null";
  created: string; // RFC 3339
  internal: boolean;
  attachable: boolean;
  ipv6: boolean;
  labels: Record<string, string>;
  options: Record<string, string>;
  pools: PoolConfig[];
  /** Driver bridge only. */
  bridge?: BridgeConfig;
  /** Drivers macvlan and ipvlan only. */
  lan?: LanConfig;
}

/** Everything that planners need to know of one bridge. */
export interface BridgeConfig {
  name: string;
  mac: string;
  mtu: number;
  icc: boolean;
  masquerade: boolean;
  /** Where ports are published that name no host address. */
  hostBindingIp: string;
}

/** A network that is the host's own LAN: containers sit on a parent interface of the host. */
export interface LanConfig {
  parent: string;
  mtu: number; // 0: the parent's
  /** macvlan: private, vepa, bridge, passthru; ipvlan: l2, l3, l3s. */
  mode: string;
  /** ipvlan only: bridge, private, vepa. */
  flag: string;
  /** Made with the network and removed with it: a dummy, or an 802.1q sub-interface. */
  makes?: { kind: "dummy" } | { kind: "vlan"; link: string; id: number };
}

export const newId = (): string => randomBytes(32).toString("hex");

/** Locally administered, unicast; fixed so that it does not change as ports come and go. */
export const newBridgeMac = (): string =>
  `02:42:${randomBytes(4).toString("hex").match(/../g)!.join(":")}`;

/** The object of GET /networks/{id}, without Containers. */
export function describeNetwork(record: NetworkRecord): {
  Id: string;
  Name: string;
  Driver: string;
  [field: string]: unknown;
} {
  return {
    Name: record.name,
    Id: record.id,
    Created: record.created,
    Scope: "local",
    Driver: record.driver,
    EnableIPv4: true,
    EnableIPv6: record.ipv6,
    IPAM: {
      Driver: "default",
      Options: null,
      Config: record.pools.map((pool) => ({
        Subnet: pool.subnet,
        ...(pool.range && { IPRange: pool.range }),
        Gateway: pool.gateway,
        ...(pool.auxiliary && { AuxiliaryAddresses: pool.auxiliary }),
      })),
    },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: record.options,
    Labels: record.labels,
  };
}
