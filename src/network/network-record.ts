// A network on record, and how inspect shows it. Host and none are networks without a share of
// their own in the kernel; their ids are made once and kept.

import { randomBytes } from "node:crypto";
import type { CreateNetworkRequest } from "./contract.ts";
import type { GatewayMode } from "./endpoint-rules.ts";
import type { PoolConfig } from "./ipam.ts";

export interface NetworkRecord {
  id: string;
  name: string;
  driver: "bridge" | "macvlan" | "ipvlan" | "host" | "null";
  created: string; // RFC 3339
  internal: boolean;
  attachable: boolean;
  ipv4?: boolean; // absent: true
  ipv6: boolean;
  labels: Record<string, string>;
  options: Record<string, string>;
  /** Absent: default, without options. Null hands out no addresses. */
  ipam?: { driver: "default" | "null"; options: Record<string, string> | null };
  pools: PoolConfig[];
  /** Interfaces in containers are called so, with a number; absent: eth. */
  interfacePrefix?: string;
  /** The name of the configuration network that it was made from. */
  configFrom?: string;
  /** Only a configuration for other networks: what those are made from. Its driver is null. */
  configures?: Pick<
    CreateNetworkRequest,
    "IPAM" | "Options" | "Labels" | "EnableIPv4" | "EnableIPv6"
  >;
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
  /** What its containers' packets leave with, in the place of the way's own address. */
  hostIps?: { 4?: string; 6?: string };
  /** Where ports are published that name no host address. */
  hostBindingIp: string;
  /** Absent: nat. */
  gatewayModes?: { 4?: GatewayMode; 6?: GatewayMode };
  /** Interfaces of the host from where published ports are reached at containers' addresses. */
  trusted?: string[];
  /** Absent: as the daemon's option says. */
  publishFilter?: "none" | "input";
  /** The bridge was there before the network, and stays after it. */
  adopted?: boolean;
  /** Families of which the bridge has no address. */
  addressless?: (4 | 6)[];
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

const PREDEFINED = new Set(["bridge", "host", "none"]);

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
    EnableIPv4: record.ipv4 ?? true,
    EnableIPv6: record.ipv6,
    IPAM: describeIpam(record),
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: record.configFrom ?? "" },
    ConfigOnly: record.configures !== undefined,
    Containers: {},
    Options: record.options,
    Labels: record.labels,
  };
}

function describeIpam({ ipam, pools, configures, name }: NetworkRecord): Record<string, unknown> {
  if (configures) {
    const { Driver, Options, Config } = configures.IPAM ?? {};
    return { Driver: Driver || "default", Options: Options ?? {}, Config: Config ?? [] };
  }
  const Driver = ipam?.driver ?? "default";
  // As docker: what was not said (the predefined networks have nothing said of them) is null.
  const Options = PREDEFINED.has(name) ? null : (ipam?.options ?? null);
  if (Driver === "null") return { Driver, Options, Config: [{ Subnet: "0.0.0.0/0" }] };
  const Config = pools.map((pool) => ({
    Subnet: pool.subnet,
    ...(pool.range && { IPRange: pool.range }),
    ...(!pool.gatewayHidden && { Gateway: pool.gateway }),
    ...(pool.auxiliary && { AuxiliaryAddresses: pool.auxiliary }),
  }));
  return { Driver, Options, Config: Config.length > 0 ? Config : null };
}
