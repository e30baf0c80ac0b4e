// What the network layer is told, as daemon.json names it, and what it needs of its surroundings.

import type { Logger } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import type { Collection } from "./ipam.ts";

export interface NetworkOptions {
  bridge: string; // "": the default bridge, gantry0 or the next free number; "none": no bridge
  bip: string; // the bridge's own address and prefix
  bip6: string;
  fixedCidr: string; // containers get addresses of this part only
  fixedCidrV6: string;
  defaultGateway: string;
  defaultGatewayV6: string;
  addressPools: readonly { Base: string; Size: number }[];
  defaultHostIp: string;
  icc: boolean;
  ipForward: boolean;
  ipMasq: boolean;
  iptables: boolean; // false: no firewall table at all; the port holder carries everything
  ip6tables: boolean;
  ipv6: boolean;
  mtu: number;
  /** Accepted for docker's sake: the holder binds every published port, so it carries it too. */
  userlandProxy: boolean;
}

export interface NetworkSurroundings {
  native: Native;
  records: { collection<T>(name: string): Collection<T> };
  options: NetworkOptions;
  log: Logger;
  /** Folder of the port holder's socket. */
  execRoot: string;
  /** The command that starts the port holder; by default the native program's. */
  portHolder?: readonly string[];
  portHolderIdleMs?: number;
  /** The command that starts the resolver; by default the native program's. */
  resolver?: readonly string[];
}

export const BRIDGE_NAME_PREFIX = "gantry";
export const LOOPBACK_HOST_IPS = /^(127\.|::1$)/;
