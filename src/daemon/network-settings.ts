// What the network layer is told by daemon.json, checked. Pure.

import { isIP } from "node:net";
import { GantryError } from "../base/index.ts";
import { type NetworkOptions, parseMark } from "../network/index.ts";
import type { AddressPool } from "./option-values.ts";
import type { Reader } from "./settings.ts";
import { checkIp } from "./value-checks.ts";

export function addressPools(read: Reader): AddressPool[] {
  return (read.any("default-address-pools") as AddressPool[] | undefined) ?? [];
}

export function networkOptions(read: Reader): NetworkOptions {
  if (read.text("bip") !== "" && read.text("bridge") !== "") {
    throw invalid("you specified -b & --bip, mutually exclusive options. Please specify only one");
  }
  if (!read.bool("icc") && !read.bool("iptables")) {
    throw invalid(
      "you specified --iptables=false with --icc=false. ICC=false uses iptables to function. " +
        "Please set --icc or --iptables to true",
    );
  }
  for (const key of ["ip", "default-gateway", "default-gateway-v6"]) {
    if (read.text(key) !== "") checkIp(read.text(key));
  }
  if (read.number("mtu") < 0) throw invalid(`invalid default MTU: ${read.number("mtu")}`);
  for (const key of ["bip", "bip6", "fixed-cidr", "fixed-cidr-v6"]) checkCidr(key, read.text(key));
  return {
    bridge: read.text("bridge"),
    bip: read.text("bip"),
    bip6: read.text("bip6"),
    fixedCidr: read.text("fixed-cidr"),
    fixedCidrV6: read.text("fixed-cidr-v6"),
    defaultGateway: read.text("default-gateway"),
    defaultGatewayV6: read.text("default-gateway-v6"),
    addressPools: addressPools(read),
    defaultHostIp: read.text("ip"),
    icc: read.bool("icc"),
    ipForward: read.bool("ip-forward"),
    ipMasq: read.bool("ip-masq"),
    iptables: read.bool("iptables"),
    ip6tables: read.bool("ip6tables"),
    ipv6: read.bool("ipv6"),
    mtu: read.number("mtu"),
    userlandProxy: read.bool("userland-proxy"),
    allowDirectRouting: read.bool("allow-direct-routing"),
    bridgeAcceptFwmark: markOf(read.text("bridge-accept-fwmark")),
    ipForwardNoDrop: read.bool("ip-forward-no-drop"),
    publishFilter: publishFilter(read.text("publish-filter")),
    acceptInOtherFirewalls: read.bool("accept-in-other-firewalls"),
    defaultNetworkOpts:
      (read.any("default-network-opts") as Record<string, Record<string, string>>) ?? {},
  };
}

function markOf(text: string): string {
  if (text === "" || parseMark(text)) return text;
  throw invalid(`bad bridge-accept-fwmark ${JSON.stringify(text)}: want a mark, or mark/mask`);
}

function publishFilter(text: string): "none" | "input" {
  if (text === "none" || text === "input") return text;
  throw invalid(`bad publish-filter ${JSON.stringify(text)}: want "none" or "input"`);
}

function checkCidr(key: string, text: string): void {
  if (text === "") return;
  const [address = "", prefix = ""] = text.split("/");
  const bits = isIP(address) === 6 ? 128 : 32;
  if (isIP(address) === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) {
    throw invalid(`invalid ${key}: invalid CIDR address: ${text}`);
  }
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
