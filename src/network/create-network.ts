// From the request of POST /networks/create to a network's record. Pure but for the random id.
// Wording is dockerd's where clients grep it.

import { createHash } from "node:crypto";
import { GantryError } from "../base/index.ts";
import {
  contains,
  type Family,
  formatSubnet,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./addresses.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import { lanConfig } from "./create-lan.ts";
import { type AddressBlock, chooseSubnet, firstHost, type PoolConfig } from "./ipam.ts";
import { type BridgeConfig, type NetworkRecord, newBridgeMac, newId } from "./network-record.ts";

const PREDEFINED = new Set(["bridge", "host", "none", "default"]);
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const INTERFACE_NAME_BYTES_MAX = 15;
const BRIDGE = "com.docker.network.bridge.";
const MTU = "com.docker.network.driver.mtu";

export interface CreateSurroundings {
  existing: readonly NetworkRecord[];
  /** Names of the host's interfaces. */
  links: readonly string[];
  /** Subnets that the host routes elsewhere. */
  routed: readonly Subnet[];
  blocks: readonly AddressBlock[];
  defaults: { mtu: number; hostBindingIp: string };
}

export function newNetwork(o: CreateNetworkRequest, around: CreateSurroundings): NetworkRecord {
  checkName(o.Name, around.existing);
  const driver = driverName(o.Driver || "bridge");
  const id = newId();
  const options = o.Options ?? {};
  return {
    id,
    name: o.Name,
    driver,
    created: new Date().toISOString(),
    internal: o.Internal ?? false,
    attachable: o.Attachable ?? false,
    ipv6: o.EnableIPv6 ?? false,
    labels: o.Labels ?? {},
    options,
    pools: pools(o, id, around),
    ...(driver === "bridge"
      ? { bridge: bridgeConfig(options, id, around) }
      : { lan: lanConfig(driver, o, id, { ...around, mtu: 0 }) }),
  };
}

function driverName(driver: string): "bridge" | "macvlan" | "ipvlan" {
  if (driver === "bridge" || driver === "macvlan" || driver === "ipvlan") return driver;
  throw new GantryError(
    "invalid",
    driver === "host" || driver === "null"
      ? `only one instance of "${driver}" network is allowed`
      : `could not find plugin ${driver} in v1 plugin registry: plugin not found`,
  );
}

function bridgeConfig(
  options: Record<string, string>,
  id: string,
  around: CreateSurroundings,
): BridgeConfig {
  const bridge: BridgeConfig = {
    name: bridgeName(options[`${BRIDGE}name`], id, around.existing),
    mac: newBridgeMac(),
    mtu: options[MTU] === undefined ? around.defaults.mtu : Number(options[MTU]),
    icc: flag(options, `${BRIDGE}enable_icc`, true),
    masquerade: flag(options, `${BRIDGE}enable_ip_masquerade`, true),
    hostBindingIp: options[`${BRIDGE}host_binding_ipv4`] ?? around.defaults.hostBindingIp,
  };
  if (!Number.isInteger(bridge.mtu) || bridge.mtu < 0) {
    throw new GantryError("invalid", `invalid value for option ${MTU}: ${options[MTU]}`);
  }
  return bridge;
}

function checkName(name: string, existing: readonly NetworkRecord[]): void {
  if (PREDEFINED.has(name)) {
    throw new GantryError("forbidden", `operation is not permitted on predefined ${name} network`);
  }
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

function bridgeName(
  wanted: string | undefined,
  id: string,
  existing: readonly NetworkRecord[],
): string {
  if (!wanted) return `br-${id.slice(0, 12)}`;
  if (!NAME.test(wanted) || wanted.length > INTERFACE_NAME_BYTES_MAX) {
    throw new GantryError("invalid", `invalid bridge name "${wanted}": at most 15 characters`);
  }
  const other = existing.find(({ bridge }) => bridge?.name === wanted);
  if (other) {
    throw new GantryError(
      "conflict",
      `cannot create network ${id} (${wanted}): conflicts with network ${other.id} ` +
        `(${wanted}): networks have same bridge name`,
    );
  }
  return wanted;
}

function flag(options: Record<string, string>, key: string, otherwise: boolean): boolean {
  const text = options[key];
  if (text === undefined || text === "") return otherwise;
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new GantryError("invalid", `invalid value for option ${key}: ${text}`);
}

function pools(o: CreateNetworkRequest, id: string, around: CreateSurroundings): PoolConfig[] {
  const ours = around.existing.flatMap((network) =>
    network.pools.map((pool) => parseSubnet(pool.subnet)),
  );
  const found = (o.IPAM?.Config ?? []).map((config) => pool(config, ours));
  const has = (family: Family) =>
    found.some(({ subnet }) => subnet.includes(":") === (family === 6));
  const choose = (family: Family, blocks: readonly AddressBlock[]): void => {
    const subnet = chooseSubnet(family, blocks, [...ours, ...around.routed]);
    found.push({ subnet: formatSubnet(subnet), gateway: firstHost(subnet) });
  };
  if (!has(4) && o.EnableIPv4 !== false) choose(4, around.blocks);
  if (!has(6) && o.EnableIPv6) choose(6, [uniqueLocal(id)]);
  if (found.length === 0) throw new GantryError("invalid", "IPv4 or IPv6 must be enabled");
  return found;
}

/** Unique local addresses (RFC 4193): 40 random bits, from the network's own id. */
function uniqueLocal(id: string): AddressBlock {
  const hash = createHash("sha256").update(id).digest("hex");
  const base = `fd${hash.slice(0, 2)}:${hash.slice(2, 6)}:${hash.slice(6, 10)}::/48`;
  return { base, size: 64 };
}

type IpamConfig = NonNullable<NonNullable<CreateNetworkRequest["IPAM"]>["Config"]>[number];

function pool(config: IpamConfig, ours: readonly Subnet[]): PoolConfig {
  if (!config.Subnet) {
    throw new GantryError("invalid", "invalid network config: a subnet is needed with a gateway");
  }
  const subnet = parseSubnet(config.Subnet);
  const text = formatSubnet(subnet);
  const given = config.Subnet.slice(0, config.Subnet.lastIndexOf("/"));
  if (parseAddress(given)!.value !== subnet.base) {
    throw new GantryError(
      "invalid",
      `invalid network config:\ninvalid subnet ${config.Subnet}: it should be ${text}`,
    );
  }
  if (ours.some((other) => overlaps(subnet, other))) {
    throw new GantryError(
      "forbidden",
      "invalid pool request: Pool overlaps with other one on this address space",
    );
  }
  const inside = (what: string, address: string): void => {
    const parsed = parseAddress(address.split("/")[0]!);
    if (parsed && contains(subnet, parsed.family, parsed.value)) return;
    throw new GantryError(
      "invalid",
      `invalid network config:\ninvalid ${what} ${address}: parent subnet ${text} ` +
        "doesn't contain it",
    );
  };
  if (config.Gateway) inside("gateway", config.Gateway);
  if (config.IPRange) inside("ip-range", config.IPRange);
  const auxiliary = config.AuxiliaryAddresses ?? {};
  for (const address of Object.values(auxiliary)) inside("auxiliary address", address);
  return {
    subnet: text,
    gateway: config.Gateway || firstHost(subnet),
    ...(config.IPRange && { range: config.IPRange }),
    ...(Object.keys(auxiliary).length > 0 && { auxiliary }),
  };
}
