// From the request of POST /networks/create to a network's record. Pure but for the random id.
// Wording is dockerd's where clients grep it.

import { GantryError } from "../base/index.ts";
import { formatSubnet, parseSubnet } from "./addresses.ts";
import {
  BRIDGE_NAME,
  bridgeConfig,
  INTERFACE_PREFIX,
  interfacePrefixOf,
} from "./bridge-options.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import { lanConfig } from "./create-lan.ts";
import { type Families, newPools, type PoolRequest } from "./create-pools.ts";
import type { AddressBlock, PoolConfig } from "./ipam.ts";
import { type NetworkRecord, newId } from "./network-record.ts";
import { type Occupied, occupiedByNetworks } from "./occupied.ts";

const PREDEFINED = new Set(["bridge", "host", "none", "default"]);
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const NOT_A_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect ' +
  "this node to swarm and try again.";

export interface CreateSurroundings {
  existing: readonly NetworkRecord[];
  /** The host's interfaces. */
  links: readonly { name: string; kind: string; addresses: readonly string[] }[];
  /** Subnets that the host routes elsewhere. */
  routed: readonly Occupied[];
  blocks: readonly AddressBlock[];
  defaults: { mtu: number; hostBindingIp: string };
}

export interface NewNetwork {
  record: NetworkRecord;
  warnings: string[];
}

export function newNetwork(request: CreateNetworkRequest, around: CreateSurroundings): NewNetwork {
  checkName(request.Name, around.existing);
  checkScope(request);
  if (request.ConfigOnly) return { record: configuration(request), warnings: [] };
  const o = configured(request, around.existing);
  const driver = driverName(o.Driver || "bridge");
  if (o.Ingress) {
    throw new GantryError("forbidden", "Ingress network can only be global scope network");
  }
  const id = newId();
  const options = o.Options ?? {};
  const families: Families = { ipv4: o.EnableIPv4 !== false, ipv6: o.EnableIPv6 === true };
  if (!families.ipv4 && !families.ipv6) {
    throw new GantryError("invalid", "IPv4 or IPv6 must be enabled");
  }
  const ipam = ipamOf(o, driver);
  const { pools, warnings } =
    ipam.driver === "null"
      ? { pools: [] as PoolConfig[], warnings: [] as string[] }
      : newPools(configsOf(o, around), id, families, {
          ours: occupiedByNetworks(around.existing),
          host: around.routed,
          blocks: around.blocks,
        });
  const interfacePrefix = interfacePrefixOf(options);
  const record: NetworkRecord = {
    ...blankRecord(o, id),
    driver,
    ...families,
    options,
    ipam,
    pools,
    ...(interfacePrefix && { interfacePrefix }),
    ...(request.ConfigFrom?.Network && { configFrom: request.ConfigFrom.Network }),
  };
  hideGateways(record.pools, o.IPAM?.Config ?? []);
  if (driver === "bridge") {
    const made = bridgeConfig(o, id, around);
    record.bridge = made.bridge;
    warnings.push(...made.warnings);
    // No address of the bridge's own: the gateway is another machine, or nobody.
    for (const pool of pools) {
      const family = pool.subnet.includes(":") ? 6 : 4;
      if (made.bridge.addressless?.includes(family)) pool.bridgeAddress = "";
    }
  } else {
    const links = around.links.map(({ name }) => name);
    record.lan = lanConfig(driver, o, id, { existing: around.existing, links, mtu: 0 });
    warnings.push(
      ...Object.keys(options)
        .filter((key) => !LAN_OPTIONS.has(key))
        .map((key) => `driver option ${key} is not known and has no effect`),
    );
  }
  return { record, warnings };
}

/** Those that were not asked for: a subnet that was given is shown as it was. */
function hideGateways(pools: NetworkRecord["pools"], configs: readonly PoolRequest[]): void {
  for (const { Subnet, Gateway } of configs) {
    if (!Subnet || Gateway) continue;
    const shown = formatSubnet(parseSubnet(Subnet));
    for (const pool of pools) if (pool.subnet === shown) pool.gatewayHidden = true;
  }
}

/** A bridge that is there already has its own subnet, unless another one is asked for. */
function configsOf(o: CreateNetworkRequest, { links }: CreateSurroundings): PoolRequest[] {
  const configs = [...(o.IPAM?.Config ?? [])];
  const link = links.find(({ name }) => name === o.Options?.[BRIDGE_NAME]);
  const own = link?.addresses.find((address) => !address.includes(":"));
  if (!own || configs.some(({ Subnet }) => !Subnet?.includes(":"))) return configs;
  const [Gateway = ""] = own.split("/");
  return [...configs, { Subnet: formatSubnet(parseSubnet(own)), Gateway }];
}

const LAN_OPTIONS = new Set([
  ...["parent", "macvlan_mode", "ipvlan_mode", "ipvlan_flag"],
  "com.docker.network.driver.mtu",
  INTERFACE_PREFIX,
]);

const blankRecord = (o: CreateNetworkRequest, id: string) => ({
  id,
  name: o.Name,
  created: new Date().toISOString(),
  internal: o.Internal ?? false,
  attachable: o.Attachable ?? false,
  labels: o.Labels ?? {},
});

/** Only a configuration that others are made from: it has no share of the kernel. */
function configuration(o: CreateNetworkRequest): NetworkRecord {
  if (o.Internal || o.Attachable || o.Ingress || o.Scope) {
    throw new GantryError(
      "forbidden",
      "configuration network can only contain network specific fields. Network operator fields " +
        "like [ ingress | internal | attachable | scope ] are not supported.",
    );
  }
  if (o.ConfigFrom?.Network) {
    throw new GantryError(
      "forbidden",
      "a configuration network cannot depend on another configuration network",
    );
  }
  const { IPAM = null, Options = {}, Labels = {}, EnableIPv4 = true, EnableIPv6 = false } = o;
  return {
    ...blankRecord(o, newId()),
    driver: "null",
    ipv4: EnableIPv4,
    ipv6: EnableIPv6,
    options: Options ?? {},
    pools: [],
    configures: { IPAM, Options, Labels, EnableIPv4, EnableIPv6 },
  };
}

/** The request, completed by the configuration network that it names. */
function configured(
  o: CreateNetworkRequest,
  existing: readonly NetworkRecord[],
): CreateNetworkRequest {
  const from = o.ConfigFrom?.Network;
  if (!from) return o;
  const source = existing.find(({ name, id }) => name === from || id === from);
  if (!source?.configures) {
    throw new GantryError(
      "not-found",
      `configuration network ${JSON.stringify(from)} does not exist`,
    );
  }
  const ipam = o.IPAM;
  const given =
    o.EnableIPv6 === true ||
    o.EnableIPv4 === false ||
    hasKeys(o.Labels) ||
    hasKeys(ipam?.Options) ||
    (ipam?.Config ?? []).length > 0 ||
    !["", "default"].includes(ipam?.Driver ?? "");
  if (given) {
    throw new GantryError(
      "forbidden",
      "user specified configurations are not supported if the network depends on a " +
        "configuration network",
    );
  }
  if (hasKeys(o.Options)) {
    throw new GantryError(
      "forbidden",
      "network driver options are not supported if the network depends on a configuration network",
    );
  }
  return { ...o, ...structuredClone(source.configures) };
}

const hasKeys = (record: Record<string, string> | null | undefined): boolean =>
  Object.keys(record ?? {}).length > 0;

function checkScope({ Scope = "", Driver }: CreateNetworkRequest): void {
  if (Scope === "swarm") {
    throw new GantryError(
      "forbidden",
      "cannot create a swarm scoped network when swarm is not active",
    );
  }
  if ((Scope !== "" && Scope !== "local") || Driver === "overlay") {
    throw new GantryError("forbidden", NOT_A_MANAGER);
  }
}

function driverName(driver: string): "bridge" | "macvlan" | "ipvlan" {
  if (driver === "bridge" || driver === "macvlan" || driver === "ipvlan") return driver;
  if (driver === "host" || driver === "null") {
    throw new GantryError("forbidden", `only one instance of "${driver}" network is allowed`);
  }
  throw new GantryError("not-found", `plugin ${JSON.stringify(driver)} not found`);
}

/** Null hands out no addresses: something on the wire does (DHCP), on the host's own LAN. */
function ipamOf(
  { IPAM }: CreateNetworkRequest,
  driver: string,
): { driver: "default" | "null"; options: Record<string, string> | null } {
  const name = IPAM?.Driver || "default";
  if (name !== "default" && name !== "null") {
    throw new GantryError("not-found", `plugin ${JSON.stringify(name)} not found`);
  }
  if (name === "null" && (IPAM?.Config ?? []).some(({ Subnet, IPRange }) => Subnet || IPRange)) {
    throw new GantryError(
      "invalid",
      "null ipam driver does not handle specific address pool requests",
    );
  }
  if (name === "null" && driver === "bridge") {
    throw new GantryError(
      "invalid",
      "ipv4 pool is empty: a bridge needs a subnet; the null ipam driver is for macvlan and ipvlan",
    );
  }
  return { driver: name, options: IPAM?.Options ?? null };
}

function checkName(name: string, existing: readonly NetworkRecord[]): void {
  if (PREDEFINED.has(name)) {
    throw new GantryError("forbidden", `operation is not permitted on predefined ${name} network`);
  }
  if (name.trim() === "") throw new GantryError("invalid", "invalid name: name is empty");
  if (!NAME.test(name)) {
    throw new GantryError(
      "invalid",
      `invalid network name "${name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  }
  if (existing.some((network) => network.name === name)) {
    throw new GantryError("conflict", `network with name ${name} already exists`);
  }
}
