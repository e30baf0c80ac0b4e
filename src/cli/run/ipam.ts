// --subnet, --ip-range, --gateway and --aux-address of `network create`: each of the latter
// belongs to the subnet that contains it.

import { isIP } from "node:net";
import { invalid } from "./list-flags.ts";

interface IpamConfig {
  Subnet?: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

export function ipamConfigs({
  subnets,
  ranges,
  gateways,
  auxiliary,
}: {
  subnets: readonly string[];
  ranges: readonly string[];
  gateways: readonly string[];
  auxiliary: Readonly<Record<string, string>>;
}): IpamConfig[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length) {
    throw invalid("every ip-range or gateway must have a corresponding subnet");
  }
  const configs = subnets.map((Subnet): IpamConfig => {
    return { Subnet };
  });
  // A lone subnet is the daemon's to judge.
  if (subnets.length > 1) subnets.forEach(prefix);
  subnets.forEach((one, at) => {
    subnets.slice(at + 1).forEach((other) => {
      if (contains(one, other) || contains(other, one)) {
        throw invalid("multiple overlapping subnet configuration is not supported");
      }
    });
  });
  const home = (what: string, address: string): IpamConfig => {
    const found = configs.find(({ Subnet }) => contains(Subnet!, address));
    if (!found) throw invalid(`no matching subnet for ${what} ${address}`);
    return found;
  };
  for (const range of ranges) {
    const config = home("range", range);
    if (config.IPRange)
      throw invalid(
        `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`,
      );
    config.IPRange = range;
  }
  for (const gateway of gateways) {
    const config = home("gateway", gateway);
    if (config.Gateway)
      throw invalid(
        `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`,
      );
    config.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const config = home("aux-address", address);
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

/** Address bits and prefix length of "10.0.0.0/8" or of a single address. */
function prefix(text: string): { version: number; bits: bigint; length: number } {
  const [address = "", lengthText] = text.split("/");
  const version = isIP(address);
  if (version === 0) throw invalid(`invalid CIDR address: ${text}`);
  const width = version === 4 ? 32 : 128;
  const length = lengthText === undefined ? width : Number(lengthText);
  if (!(length >= 0 && length <= width)) throw invalid(`invalid CIDR address: ${text}`);
  return { version, bits: version === 4 ? bits4(address) : bits6(address), length };
}

function bits4(address: string): bigint {
  return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function bits6(address: string): bigint {
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (text) => {
    const bits = bits4(text);
    return `${(bits >> 16n).toString(16)}:${(bits & 0xffffn).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(8 - left.length - right.length).fill("0");
  const all = tail === undefined ? left : [...left, ...zeros, ...right];
  return all.reduce((sum, part) => sum * 65536n + BigInt(`0x${part || "0"}`), 0n);
}

function contains(outer: string, inner: string): boolean {
  const one = prefix(outer);
  const other = prefix(inner);
  if (one.version !== other.version || other.length < one.length) return false;
  const shift = BigInt((one.version === 4 ? 32 : 128) - one.length);
  return one.bits >> shift === other.bits >> shift;
}
