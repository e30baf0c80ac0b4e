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
  /** False: IPv6 is not carried to containers that have IPv4 only. Loopback is all the same. */
  userlandProxy: boolean;
  /** Published ports may be reached at the containers' own addresses, too. */
  allowDirectRouting: boolean;
  /** Packets with this mark are let in: "0x1" or "0x1/0xff"; "": none. */
  bridgeAcceptFwmark: string;
  /** Where forwarding is switched on, it is so for everyone. */
  ipForwardNoDrop: boolean;
  /** "input": the host's rules for input apply to published ports, which the holder carries. */
  publishFilter: "none" | "input";
  /** A rule may be put into chains of other firewalls that drop what is forwarded. */
  acceptInOtherFirewalls: boolean;
  /** Driver → its options for networks that say nothing else. */
  defaultNetworkOpts: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Without any configuration: what dockerd does then. */
export const networkDefaults: NetworkOptions = {
  bridge: "",
  bip: "",
  bip6: "",
  fixedCidr: "",
  fixedCidrV6: "",
  defaultGateway: "",
  defaultGatewayV6: "",
  addressPools: [],
  defaultHostIp: "0.0.0.0",
  icc: true,
  ipForward: true,
  ipMasq: true,
  iptables: true,
  ip6tables: true,
  ipv6: false,
  mtu: 1500,
  userlandProxy: true,
  allowDirectRouting: false,
  bridgeAcceptFwmark: "",
  ipForwardNoDrop: false,
  publishFilter: "none",
  acceptInOtherFirewalls: true,
  defaultNetworkOpts: {},
};

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
  /** Makes a program run where the network is (tests have it elsewhere); by default here. */
  enter?: readonly string[];
  /** The command that starts the resolver; by default the native program's. */
  resolver?: readonly string[];
}

export const BRIDGE_NAME_PREFIX = "gantry";
export const LOOPBACK_HOST_IPS = /^(127\.|::1$)/;

/** "0x1/0xff" or "1"; undefined where it is neither. */
export function parseMark(text: string): { value: number; mask: number } | undefined {
  const number = "(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})";
  const [, value = "", mask = "0xffffffff"] =
    new RegExp(`^${number}(?:/${number})?$`).exec(text) ?? [];
  const parsed = { value: Number(value), mask: Number(mask) };
  const fits = (n: number): boolean => n <= 0xffff_ffff;
  return value !== "" && fits(parsed.value) && fits(parsed.mask) ? parsed : undefined;
}
