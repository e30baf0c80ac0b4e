// The three networks that every daemon has: bridge, host and none. Their ids are made once; the
// bridge's subnet is chosen once, away from what the host routes, and kept unless an option says
// otherwise or the host has meanwhile taken it.

import { GantryError } from "../base/index.ts";
import {
  contains,
  formatSubnet,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./addresses.ts";
import { uniqueLocal } from "./create-pools.ts";
import { type HostState, routedSubnets } from "./host-state.ts";
import { blocksOf, type Collection, chooseSubnet, firstHost, type PoolConfig } from "./ipam.ts";
import { type BridgeConfig, type NetworkRecord, newBridgeMac, newId } from "./network-record.ts";
import { BRIDGE_NAME_PREFIX, type NetworkOptions } from "./options.ts";

const PREFIX = "com.docker.network.";

/** Loads or makes the records of the predefined networks. `alias` marks a bridge as ours. */
export function predefinedNetworks(
  records: Collection<NetworkRecord>,
  options: NetworkOptions,
  host: HostState,
  alias: string,
): NetworkRecord[] {
  const byName = new Map(records.all().map(([, record]) => [record.name, record]));
  const networks: NetworkRecord[] = [];
  for (const [name, driver] of [
    ["host", "host"],
    ["none", "null"],
  ] as const) {
    networks.push(byName.get(name) ?? blank(name, driver));
  }
  if (options.bridge !== "none") {
    const others = [...byName.values()]
      .filter(({ name }) => name !== "bridge")
      .flatMap(({ pools }) => pools.map(({ subnet }) => parseSubnet(subnet)));
    networks.unshift(defaultBridge(byName.get("bridge"), options, host, alias, others));
  }
  for (const record of networks) {
    // Nothing is written where nothing changes: a daemon starts on a full disk too.
    const known = JSON.stringify(byName.get(record.name));
    if (JSON.stringify(record) !== known) records.put(record.id, record);
  }
  return networks;
}

function blank(name: string, driver: NetworkRecord["driver"]): NetworkRecord {
  return {
    id: newId(),
    name,
    driver,
    created: new Date().toISOString(),
    internal: false,
    attachable: false,
    ipv6: false,
    labels: {},
    options: {},
    pools: [],
  };
}

function defaultBridge(
  old: NetworkRecord | undefined,
  options: NetworkOptions,
  host: HostState,
  alias: string,
  others: readonly Subnet[],
): NetworkRecord {
  const record = old ?? blank("bridge", "bridge");
  const name = options.bridge || bridgeName(record.bridge?.name, host, alias);
  const link = host.links.find((candidate) => candidate.name === name);
  const bridge: BridgeConfig = {
    name,
    mac: link?.mac ?? record.bridge?.mac ?? newBridgeMac(),
    mtu: options.mtu,
    icc: options.icc,
    masquerade: options.ipMasq,
    hostBindingIp: options.defaultHostIp || "0.0.0.0",
  };
  const taken = [...routedSubnets(host, link?.index ?? 0), ...others];
  const pools = [ipv4Pool(record, options, host, link?.index, taken)];
  const v6 = options.fixedCidrV6 || options.bip6;
  if (options.ipv6 && v6) pools.push(fixedPool(v6, options.bip6, options.defaultGatewayV6));
  else if (options.ipv6) pools.push(ipv6Pool(record, options, taken));
  return {
    ...record,
    ipv6: options.ipv6,
    pools,
    bridge,
    options: {
      [`${PREFIX}bridge.default_bridge`]: "true",
      [`${PREFIX}bridge.enable_icc`]: String(options.icc),
      [`${PREFIX}bridge.enable_ip_masquerade`]: String(options.ipMasq),
      [`${PREFIX}bridge.host_binding_ipv4`]: bridge.hostBindingIp,
      [`${PREFIX}bridge.name`]: name,
      [`${PREFIX}driver.mtu`]: String(options.mtu),
    },
  };
}

/** The name on record; else the first that no other daemon's bridge has. */
function bridgeName(known: string | undefined, host: HostState, alias: string): string {
  const free = (name: string): boolean => {
    const link = host.links.find((candidate) => candidate.name === name);
    return link === undefined || (link.kind === "bridge" && link.alias === alias);
  };
  if (known !== undefined && free(known)) return known;
  for (let number = 0; ; number++) {
    if (free(`${BRIDGE_NAME_PREFIX}${number}`)) return `${BRIDGE_NAME_PREFIX}${number}`;
  }
}

function ipv4Pool(
  record: NetworkRecord,
  options: NetworkOptions,
  host: HostState,
  linkIndex: number | undefined,
  taken: readonly Subnet[],
): PoolConfig {
  if (options.bip) {
    return fixedPool(options.fixedCidr || options.bip, options.bip, options.defaultGateway);
  }
  const existing = host.addresses.find(
    ({ index, address }) => index === linkIndex && !address.includes(":"),
  );
  if (existing) {
    const bip = `${existing.address}/${existing.prefix}`;
    return fixedPool(options.fixedCidr || bip, bip, options.defaultGateway);
  }
  if (options.fixedCidr) return fixedPool(options.fixedCidr, "", options.defaultGateway);
  const known = record.pools.find(({ subnet }) => !subnet.includes(":"));
  if (known && !taken.some((other) => overlaps(other, parseSubnet(known.subnet)))) return known;
  const subnet = chooseSubnet(4, blocksOf(options.addressPools), taken);
  return { subnet: formatSubnet(subnet), gateway: firstHost(subnet) };
}

/** As for networks of users: of the configured pools, or a unique local one. */
function ipv6Pool(
  record: NetworkRecord,
  options: NetworkOptions,
  taken: readonly Subnet[],
): PoolConfig {
  const known = record.pools.find(({ subnet }) => subnet.includes(":"));
  if (known && !taken.some((other) => overlaps(other, parseSubnet(known.subnet)))) return known;
  const blocks = blocksOf(options.addressPools).filter(({ base }) => base.includes(":"));
  const subnet = chooseSubnet(6, blocks.length > 0 ? blocks : [uniqueLocal(record.id)], taken);
  return { subnet: formatSubnet(subnet), gateway: firstHost(subnet) };
}

/** `cidr` is what containers get; `own`, where given, is the bridge's address in its subnet. */
function fixedPool(cidr: string, own: string, gateway: string): PoolConfig {
  const subnet = parseSubnet(own || cidr);
  const address = (own || cidr).split("/")[0]!;
  const value = parseAddress(address)!.value;
  const bridgeAddress = own && value !== subnet.base ? address : firstHost(subnet);
  const range = parseSubnet(cidr);
  if (!contains(subnet, range.family, range.base)) {
    throw new GantryError("invalid", `fixed-cidr ${cidr} is not within ${formatSubnet(subnet)}`);
  }
  const pool: PoolConfig = { subnet: formatSubnet(subnet), gateway: bridgeAddress };
  if (range.prefix > subnet.prefix) pool.range = formatSubnet(range);
  if (gateway && gateway !== bridgeAddress) {
    pool.gateway = gateway;
    // The bridge keeps an address of its own: the container's gateway is another machine.
    pool.bridgeAddress = bridgeAddress;
  }
  return pool;
}
