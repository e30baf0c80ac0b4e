// The options of bridge networks, as docker names them. Pure; wording is dockerd's. An option that
// is not known is told of in a warning.

import { GantryError } from "../base/index.ts";
import { parseAddress } from "./addresses.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import type { GatewayMode } from "./endpoint-rules.ts";
import { type BridgeConfig, type NetworkRecord, newBridgeMac } from "./network-record.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const INTERFACE_NAME_BYTES_MAX = 15;
/** A number is put behind it. */
const INTERFACE_PREFIX_BYTES_MAX = 12;
const MTU_MAX = 65_535;
const NETWORK = "com.docker.network.";
const BRIDGE = `${NETWORK}bridge.`;
export const BRIDGE_NAME = `${BRIDGE}name`;
export const MTU = `${NETWORK}driver.mtu`;
export const INTERFACE_PREFIX = `${NETWORK}container_iface_prefix`;
const GATEWAY_MODES: readonly string[] = ["nat", "isolated", "routed", "nat-unprotected"];
const PUBLISH_FILTER = "gantry.publish_filter";

const KNOWN = new Set([
  ...["name", "enable_ip_masquerade", "enable_icc", "inhibit_ipv4", "default_bridge"].map(
    (name) => `${BRIDGE}${name}`,
  ),
  ...["host_binding_ipv4", "gateway_mode_ipv4", "gateway_mode_ipv6"].map(
    (name) => `${BRIDGE}${name}`,
  ),
  `${BRIDGE}trusted_host_interfaces`,
  `${NETWORK}host_ipv4`,
  `${NETWORK}host_ipv6`,
  PUBLISH_FILTER,
  MTU,
  INTERFACE_PREFIX,
]);

export interface BridgeSurroundings {
  existing: readonly NetworkRecord[];
  links: readonly { name: string; kind: string }[];
  defaults: { mtu: number; hostBindingIp: string };
}

export function bridgeConfig(
  o: CreateNetworkRequest,
  id: string,
  around: BridgeSurroundings,
): { bridge: BridgeConfig; warnings: string[] } {
  const options = o.Options ?? {};
  const mode4 = gatewayMode(options, "gateway_mode_ipv4", o.Internal === true);
  const mode6 = gatewayMode(options, "gateway_mode_ipv6", o.Internal === true);
  const wanted = options[BRIDGE_NAME];
  const name = bridgeName(wanted, id, around);
  const addressless: (4 | 6)[] = [];
  if (mode4 === "isolated" || flag(options, `${BRIDGE}inhibit_ipv4`, false)) addressless.push(4);
  if (mode6 === "isolated") addressless.push(6);
  const bridge: BridgeConfig = {
    name,
    mac: newBridgeMac(),
    mtu: mtuOf(options[MTU], around.defaults.mtu),
    icc: flag(options, `${BRIDGE}enable_icc`, true),
    masquerade: flag(options, `${BRIDGE}enable_ip_masquerade`, true),
    hostBindingIp: hostBindingIp(options) ?? around.defaults.hostBindingIp,
    ...((mode4 || mode6) && {
      gatewayModes: { ...(mode4 && { 4: mode4 }), ...(mode6 && { 6: mode6 }) },
    }),
    ...hostIps(options),
    ...trustedInterfaces(options),
    ...publishFilter(options),
    ...(addressless.length > 0 && { addressless }),
    ...(around.links.some((link) => link.name === name) && { adopted: true }),
  };
  const warnings = Object.keys(options)
    .filter((key) => !KNOWN.has(key))
    .map((key) => `driver option ${key} is not known and has no effect`);
  return { bridge, warnings };
}

function gatewayMode(
  options: Record<string, string>,
  name: string,
  internal: boolean,
): GatewayMode | undefined {
  const key = `${BRIDGE}${name}`;
  const mode = options[key];
  if (!mode) return undefined;
  if (!GATEWAY_MODES.includes(mode)) {
    throw new GantryError("invalid", `unknown gateway mode ${mode} for ${key}`);
  }
  if (mode === "isolated" && !internal) {
    throw new GantryError(
      "invalid",
      `gateway mode 'isolated' can only be used for an internal network`,
    );
  }
  return mode as GatewayMode;
}

/** Names of the host's interfaces, with colons between them. */
function trustedInterfaces(options: Record<string, string>): { trusted?: string[] } {
  const key = `${BRIDGE}trusted_host_interfaces`;
  const trusted = (options[key] ?? "").split(":").filter((name) => name !== "");
  const bad = trusted.find((name) => !/^[^/\s]{1,15}$/.test(name));
  if (bad !== undefined) {
    throw new GantryError("invalid", `invalid interface name "${bad}" in option ${key}`);
  }
  return trusted.length > 0 ? { trusted } : {};
}

/** Ours: whether the host's rules for input apply to published ports. */
function publishFilter(options: Record<string, string>): { publishFilter?: "none" | "input" } {
  const text = options[PUBLISH_FILTER];
  if (!text) return {};
  if (text === "none" || text === "input") return { publishFilter: text };
  throw new GantryError(
    "invalid",
    `invalid value for option ${PUBLISH_FILTER}: ${text} (want none or input)`,
  );
}

export function mtuOf(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[-+]?\d+$/.test(text)) throw unparsable(MTU, text, "strconv.Atoi");
  const mtu = Number(text);
  if (mtu < 0 || mtu > MTU_MAX) throw new GantryError("invalid", `invalid MTU number: ${text}`);
  return mtu;
}

function hostBindingIp(options: Record<string, string>): string | undefined {
  return addressOption(options, `${BRIDGE}host_binding_ipv4`, 4);
}

function hostIps(options: Record<string, string>): Pick<BridgeConfig, "hostIps"> {
  const v4 = addressOption(options, `${NETWORK}host_ipv4`, 4);
  const v6 = addressOption(options, `${NETWORK}host_ipv6`, 6);
  return v4 || v6 ? { hostIps: { ...(v4 && { 4: v4 }), ...(v6 && { 6: v6 }) } } : {};
}

function addressOption(
  options: Record<string, string>,
  key: string,
  family: 4 | 6,
): string | undefined {
  const text = options[key];
  if (!text) return undefined;
  if (parseAddress(text)?.family === family) return text;
  throw new GantryError("invalid", `failed to parse ${key} value: ${text} (nil ip)`);
}

function bridgeName(wanted: string | undefined, id: string, around: BridgeSurroundings): string {
  if (!wanted) return `br-${id.slice(0, 12)}`;
  if (!NAME.test(wanted) || wanted.length > INTERFACE_NAME_BYTES_MAX) {
    throw new GantryError(
      "invalid",
      `invalid bridge name "${wanted}": a name of an interface has at most ` +
        `${INTERFACE_NAME_BYTES_MAX} characters`,
    );
  }
  const other = around.existing.find(({ bridge }) => bridge?.name === wanted);
  if (other) {
    throw new GantryError(
      "conflict",
      `cannot create network ${id} (${wanted}): conflicts with network ${other.id} ` +
        `(${wanted}): networks have same bridge name`,
    );
  }
  const link = around.links.find(({ name }) => name === wanted);
  if (link && link.kind !== "bridge") {
    throw new GantryError("invalid", `interface ${wanted} of the host exists and is no bridge`);
  }
  return wanted;
}

/** Also of macvlan and ipvlan networks. */
export function interfacePrefixOf(options: Record<string, string>): string | undefined {
  const prefix = options[INTERFACE_PREFIX];
  if (!prefix) return undefined;
  if (NAME.test(prefix) && prefix.length <= INTERFACE_PREFIX_BYTES_MAX && prefix !== "lo") {
    return prefix;
  }
  throw new GantryError("invalid", `invalid value for option ${INTERFACE_PREFIX}: ${prefix}`);
}

export function flag(options: Record<string, string>, key: string, otherwise: boolean): boolean {
  const text = options[key];
  if (text === undefined || text === "") return otherwise;
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw unparsable(key, text, "strconv.ParseBool");
}

function unparsable(key: string, text: string, parser: string): GantryError {
  return new GantryError(
    "invalid",
    `failed to parse ${key} value: ${text} (${parser}: parsing "${text}": invalid syntax)`,
  );
}
