// --network in both forms, and the flags that belong to the first network.

import { splitCsv } from "../../base/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";
import { invalid } from "./list-flags.ts";

export interface NetworkAttachment {
  target: string;
  aliases: string[];
  links: string[];
  ip?: string;
  ip6?: string;
  mac?: string;
  linkLocalIps: string[];
  driverOpts: Record<string, string>;
  gwPriority: number;
}

const empty = (target: string): NetworkAttachment => ({
  target,
  aliases: [],
  links: [],
  linkLocalIps: [],
  driverOpts: {},
  gwPriority: 0,
});

/** What a flag is called in the long form of --network. */
const PER_NETWORK: Readonly<Record<string, string>> = {
  link: "links",
  "network-alias": "alias",
  ip: "IPv4 address",
  ip6: "IPv6 address",
  "mac-address": "MAC address",
};
const MAC = /^(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$/;

export function checkMac(text: string): string {
  const mac = text.trim();
  if (!MAC.test(mac)) throw invalid(`${mac} is not a valid mac address`);
  return mac;
}

/** One --network value: a name, or name=…,alias=…,ip=…. */
export function parseNetwork(text: string): NetworkAttachment {
  const network = empty("");
  const long = text.includes("=");
  if (!long) return empty(text);
  for (const field of splitCsv(text)) {
    const equals = field.indexOf("=");
    const key = field.slice(0, Math.max(0, equals)).trim().toLowerCase();
    const value = field.slice(equals + 1).trim();
    if (equals <= 0 || value === "")
      throw invalid(`invalid key/value pair format in driver options`);
    if (key === "name") network.target = value;
    else if (key === "alias") network.aliases.push(value);
    else if (key === "ip") network.ip = value;
    else if (key === "ip6") network.ip6 = value;
    else if (key === "mac-address") network.mac = checkMac(value);
    else if (key === "link-local-ip") network.linkLocalIps.push(value);
    else if (key === "driver-opt") {
      const at = value.indexOf("=");
      if (at < 0) throw invalid("invalid key value pair format in driver options");
      network.driverOpts[value.slice(0, at).trim().toLowerCase()] = value.slice(at + 1).trim();
    } else if (key === "gw-priority") {
      if (!/^-?\d+$/.test(value)) throw invalid(`invalid gw-priority (${value}): invalid syntax`);
      network.gwPriority = Number(value);
    } else throw invalid(`invalid field key ${key}`);
  }
  if (network.target === "") throw invalid("network name/id is not specified");
  return network;
}

/** The flags of the short form, which apply to the first network. */
export interface FirstNetworkFlags {
  aliases: readonly string[];
  links: readonly string[];
  ip?: string;
  ip6?: string;
  mac?: string;
  linkLocalIps: readonly string[];
}

/** Gives the flags to the first network, and refuses what contradicts. */
export function attachNetworks(
  networks: readonly NetworkAttachment[],
  flags: FirstNetworkFlags,
): { mode: string; endpoints: Record<string, EndpointSettings> } {
  const all = networks.length === 0 ? [empty("default")] : networks.map((n) => ({ ...n }));
  const endpoints: Record<string, EndpointSettings> = {};
  all.forEach((network, at) => {
    if (at === 0) giveFlags(network, flags);
    if (Object.hasOwn(endpoints, network.target)) {
      throw invalid(`network ${JSON.stringify(network.target)} is specified multiple times`);
    }
    checkMode(network, all.length);
    checkNames(network);
    if (hasEndpoint(network)) endpoints[network.target] = endpointOf(network);
  });
  return { mode: all[0]!.target, endpoints };
}

function isUserDefined(mode: string): boolean {
  return !["default", "bridge", "host", "none"].includes(mode) && !mode.startsWith("container:");
}

/** These modes have no network of their own to describe; what was asked for of one all the same,
 * the daemon refuses. */
function hasEndpoint(network: NetworkAttachment): boolean {
  const mode = network.target;
  if (mode !== "host" && mode !== "none" && !mode.startsWith("container:")) return true;
  const { ip, ip6, mac, linkLocalIps } = network;
  if (!ip && !ip6 && !mac && linkLocalIps.length === 0) return false;
  if (mode === "host" || mode === "none") return true;
  const asked = ip ? "ip" : ip6 ? "ip6" : mac ? "mac-address" : "link-local-ip";
  throw invalid(`conflicting options: ${asked} and the network mode`);
}

function checkNames({ target, aliases, links }: NetworkAttachment): void {
  if (isUserDefined(target)) return;
  if (aliases.length > 0) {
    throw invalid("network-scoped aliases are only supported for user-defined networks");
  }
  if (links.length > 0) throw invalid("links are only supported for user-defined networks");
}

function giveFlags(network: NetworkAttachment, flags: FirstNetworkFlags): void {
  const given = (name: string, first: boolean, second: boolean) => {
    if (!first || !second) return;
    const other = PER_NETWORK[name] ?? name;
    throw invalid(`conflicting options: cannot specify both --${name} and per-network ${other}`);
  };
  given("network-alias", flags.aliases.length > 0, network.aliases.length > 0);
  given("link", flags.links.length > 0, network.links.length > 0);
  given("ip", flags.ip !== undefined, network.ip !== undefined);
  given("ip6", flags.ip6 !== undefined, network.ip6 !== undefined);
  given("mac-address", flags.mac !== undefined, network.mac !== undefined);
  network.aliases = [...network.aliases, ...flags.aliases];
  network.links = [...network.links, ...(isUserDefined(network.target) ? flags.links : [])];
  network.linkLocalIps = [...network.linkLocalIps, ...flags.linkLocalIps];
  if (flags.ip !== undefined) network.ip = flags.ip;
  if (flags.ip6 !== undefined) network.ip6 = flags.ip6;
  if (flags.mac !== undefined) network.mac = flags.mac;
}

function checkMode(network: NetworkAttachment, count: number): void {
  const mode = network.target;
  if (count > 1 && (mode === "host" || mode === "none" || mode.startsWith("container:"))) {
    throw invalid(
      "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    );
  }
}

function endpointOf(network: NetworkAttachment): EndpointSettings {
  const hasIpam =
    network.ip !== undefined || network.ip6 !== undefined || network.linkLocalIps.length > 0;
  return {
    IPAMConfig: hasIpam
      ? {
          ...(network.ip ? { IPv4Address: network.ip } : {}),
          ...(network.ip6 ? { IPv6Address: network.ip6 } : {}),
          ...(network.linkLocalIps.length > 0 ? { LinkLocalIPs: network.linkLocalIps } : {}),
        }
      : null,
    Links: network.links.length > 0 ? network.links : null,
    Aliases: network.aliases.length > 0 ? network.aliases : null,
    MacAddress: network.mac ?? "",
    DriverOpts: Object.keys(network.driverOpts).length > 0 ? network.driverOpts : null,
    GwPriority: network.gwPriority,
    NetworkID: "",
    EndpointID: "",
    Gateway: "",
    IPAddress: "",
    IPPrefixLen: 0,
    IPv6Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}
