// The subnets of a new network: those that were asked for, checked in dockerd's words, and one of
// the default pools for each family that has none. Whoever is in the way is named.

import { createHash } from "node:crypto";
import { GantryError } from "../base/index.ts";
import {
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./addresses.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import { type AddressBlock, chooseSubnet, firstHost, type PoolConfig } from "./ipam.ts";
import { conflictOf, conflictText, type Occupied } from "./occupied.ts";

export type PoolRequest = NonNullable<NonNullable<CreateNetworkRequest["IPAM"]>["Config"]>[number];

export interface PoolSurroundings {
  /** Subnets of our own networks. */
  ours: readonly Occupied[];
  /** Subnets that the host routes elsewhere. */
  host: readonly Occupied[];
  blocks: readonly AddressBlock[];
}

export interface Families {
  ipv4: boolean;
  ipv6: boolean;
}

/** Throws invalid, forbidden (overlap with a network of ours) or exhausted. */
export function newPools(
  configs: readonly PoolRequest[],
  id: string,
  families: Families,
  around: PoolSurroundings,
): { pools: PoolConfig[]; warnings: string[] } {
  const warnings: string[] = [];
  const checked = checkConfigs(configs, families);
  const pools: PoolConfig[] = [];
  for (const { subnet, config } of checked) {
    const among = [
      ...around.ours,
      ...pools.map((pool) => ({ subnet: parseSubnet(pool.subnet), by: "the same network" })),
    ];
    const conflict = conflictOf(subnet, among);
    if (conflict) {
      throw new GantryError(
        "forbidden",
        "invalid pool request: Pool overlaps with other one on this address space: " +
          `${conflictText(subnet, conflict)}; choose another --subnet, or remove that network`,
      );
    }
    const routed = conflictOf(subnet, around.host);
    if (routed) {
      warnings.push(
        `${conflictText(subnet, routed)}: what is there is no longer reached from the host and ` +
          "its containers where the two overlap",
      );
    }
    pools.push(poolOf(subnet, config));
  }
  const has = (family: Family) => checked.some(({ subnet }) => subnet.family === family);
  if (families.ipv4 && !has(4)) pools.push(chosen(4, around.blocks, around));
  if (families.ipv6 && !has(6)) {
    const blocks = around.blocks.filter(({ base }) => base.includes(":"));
    pools.push(chosen(6, blocks.length > 0 ? blocks : [uniqueLocal(id)], around));
  }
  if (!families.ipv6) {
    for (const { Subnet = "" } of configs.filter(({ Subnet }) => Subnet?.includes(":"))) {
      warnings.push(`subnet ${Subnet} is not used: the network has no IPv6 (--ipv6)`);
    }
  }
  return { pools, warnings };
}

function chosen(
  family: Family,
  blocks: readonly AddressBlock[],
  { ours, host }: PoolSurroundings,
): PoolConfig {
  const taken = [...ours, ...host].map(({ subnet }) => subnet);
  const subnet = chooseSubnet(family, blocks, taken, () => exhausted(family, blocks, ours, host));
  return { subnet: formatSubnet(subnet), gateway: firstHost(subnet), automatic: true };
}

/** Docker's words, who is in the way, and what helps. */
function exhausted(
  family: Family,
  blocks: readonly AddressBlock[],
  ours: readonly Occupied[],
  host: readonly Occupied[],
): string {
  const whole = blocks.map(({ base }) => parseSubnet(base)).filter((one) => one.family === family);
  const inside = (list: readonly Occupied[]): Occupied[] =>
    list.filter(({ subnet }) => whole.some((block) => overlaps(block, subnet)));
  const routes = inside(host).map(({ subnet, by }) => `${formatSubnet(subnet)} of ${by}`);
  const named = routes.length > 0 ? ` and ${routes.slice(0, 3).join(", ")}` : "";
  const more = routes.length > 3 ? ` and ${routes.length - 3} more routes` : "";
  return (
    `all predefined address pools have been fully subnetted: ${inside(ours).length} networks` +
    `${named}${more} use them; remove unused networks (network prune), name a --subnet, or add ` +
    "pools (--default-address-pool base=10.200.0.0/16,size=24)"
  );
}

/** Unique local addresses (RFC 4193): 40 random bits, from the network's own id. */
export function uniqueLocal(id: string): AddressBlock {
  const hash = createHash("sha256").update(id).digest("hex");
  const base = `fd${hash.slice(0, 2)}:${hash.slice(2, 6)}:${hash.slice(6, 10)}::/48`;
  return { base, size: 64 };
}

function poolOf(subnet: Subnet, config: PoolRequest): PoolConfig {
  const auxiliary = config.AuxiliaryAddresses ?? {};
  const gateway = config.Gateway ? plainAddress(config.Gateway) : firstHost(subnet);
  const taken = new Map([[gateway, "the gateway"]]);
  for (const [name, address] of Object.entries(auxiliary)) {
    const plain = plainAddress(address);
    const owner = taken.get(plain);
    if (owner !== undefined) {
      throw new GantryError(
        "forbidden",
        `failed to allocate secondary ip address (${name}:${address}): Address already in use ` +
          `(by ${owner})`,
      );
    }
    taken.set(plain, `auxiliary address ${name}`);
  }
  return {
    subnet: formatSubnet(subnet),
    gateway,
    ...(config.IPRange && { range: formatSubnet(parseSubnet(config.IPRange)) }),
    ...(Object.keys(auxiliary).length > 0 && { auxiliary }),
  };
}

/** The shortest spelling; a prefix behind it is let pass, as docker does. */
function plainAddress(text: string): string {
  const parsed = parseAddress(text.split("/")[0]!);
  return parsed ? formatAddress(parsed.family, parsed.value) : text;
}

/** All that is wrong is said at once. IPv6 is left out where the network has none. */
function checkConfigs(
  configs: readonly PoolRequest[],
  { ipv4, ipv6 }: Families,
): { subnet: Subnet; config: PoolRequest }[] {
  const problems: string[] = [];
  const checked: { subnet: Subnet; config: PoolRequest }[] = [];
  for (const config of configs) {
    const subnet = prefixOf(config.Subnet ?? "");
    if (!subnet) {
      problems.push(`invalid subnet ${config.Subnet ?? ""}: invalid CIDR block notation`);
      continue;
    }
    if (subnet.family === 6 && !ipv6) continue;
    if (subnet.family === 4 && !ipv4) {
      problems.push(`invalid subnet ${config.Subnet}: the network has no IPv4 (--ipv4=false)`);
    }
    const wrong = unmasked(config.Subnet!, subnet);
    if (wrong) problems.push(`invalid subnet ${config.Subnet}: it should be ${wrong}`);
    problems.push(...checkAddressesOf(config, subnet));
    checked.push({ subnet, config });
  }
  if (problems.length === 0) return checked;
  throw new GantryError("invalid", ["invalid network config:", ...problems].join("\n"));
}

function checkAddressesOf(config: PoolRequest, subnet: Subnet): string[] {
  const problems = config.IPRange ? checkRange(config.IPRange, subnet) : [];
  if (config.Gateway) problems.push(...checkAddress("gateway", config.Gateway, subnet));
  for (const [name, address] of Object.entries(config.AuxiliaryAddresses ?? {})) {
    problems.push(...checkAddress("auxiliary address", address, subnet, name));
  }
  return problems;
}

function checkRange(text: string, subnet: Subnet): string[] {
  const problem = (why: string): string[] => [`invalid ip-range ${text}: ${why}`];
  const range = prefixOf(text);
  if (!range) return problem("invalid CIDR block notation");
  if (range.family !== subnet.family) return problem(parentIs(subnet));
  const parent = formatSubnet(subnet);
  if (range.prefix < subnet.prefix) {
    return problem(`CIDR block is bigger than its parent subnet ${parent}`);
  }
  const wrong = unmasked(text, range);
  if (wrong) return problem(`it should be ${wrong}`);
  if (!overlaps(range, subnet)) {
    return problem(`parent subnet ${parent} doesn't contain ip-range`);
  }
  return [];
}

function checkAddress(what: string, text: string, subnet: Subnet, name = text): string[] {
  const problem = (why: string): string[] => [`invalid ${what} ${name}: ${why}`];
  const address = parseAddress(text.split("/")[0]!);
  if (!address) return problem("invalid address");
  if (address.family !== subnet.family) return problem(parentIs(subnet));
  if (contains(subnet, address.family, address.value)) return [];
  return problem(`parent subnet ${formatSubnet(subnet)} doesn't contain this address`);
}

const parentIs = ({ family }: Subnet): string => `parent subnet is an IPv${family} block`;

function prefixOf(text: string): Subnet | undefined {
  try {
    return parseSubnet(text);
  } catch {
    return undefined;
  }
}

/** How a subnet with host bits should have been written. */
function unmasked(text: string, subnet: Subnet): string | undefined {
  const { value } = parseAddress(text.slice(0, text.lastIndexOf("/")))!;
  return value === subnet.base ? undefined : formatSubnet(subnet);
}
