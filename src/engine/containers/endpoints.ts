// The endpoints that a container is to have: by the names of their networks, whatever reference
// was used. A network that does not exist is refused at start: "not found" at create would make
// the docker CLI pull the image.

import { isIPv4, isIPv6 } from "node:net";
import { GantryError } from "../../base/index.ts";
import type { EndpointSettings, NetworkingConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { findNetworkByRef } from "../networks/find.ts";
import { containerOf } from "./host-config.ts";

const PREDEFINED = ["bridge", "host", "none"];
const MAC = /^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/;

export function wantedEndpoints(
  engine: EngineContext,
  mode: string,
  wanted: NonNullable<NetworkingConfig["EndpointsConfig"]>,
): Record<string, EndpointSettings> {
  if (containerOf(mode) !== undefined) return {};
  const main = networkNameOf(engine, mode);
  const endpoints: Record<string, EndpointSettings> = { [main]: {} };
  for (const [ref, settings] of Object.entries(wanted)) {
    const name = networkNameOf(engine, ref);
    checkWanted(engine, name, settings ?? {});
    endpoints[name] = { ...settings };
  }
  const names = Object.keys(endpoints);
  if (names.length > 1) for (const name of names) checkCompany(name);
  return endpoints;
}

/** Before there is a container: what the network, where it exists, would refuse at its start. */
function checkWanted(engine: EngineContext, name: string, settings: EndpointSettings): void {
  try {
    checkSettings(name, settings);
    if (findNetworkByRef(engine, name)) engine.network.checkEndpoint(name, settings);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    const message = `invalid config for network ${name}: ${error.message}`;
    throw new GantryError(error.kind, message, { cause: error, detail: error.detail });
  }
}

/** What of an endpoint's settings is wrong whatever its network is like. Throws invalid with all of
 * it, in docker's words. */
export function checkSettings(network: string, settings: EndpointSettings): void {
  const { IPv4Address, IPv6Address } = settings.IPAMConfig ?? {};
  const problems: string[] = [];
  if (PREDEFINED.includes(network)) {
    if (settings.Aliases?.length) {
      problems.push(
        "network-scoped alias is supported only for containers in user defined networks",
      );
    }
    if (IPv4Address || IPv6Address) {
      problems.push("user specified IP address is supported on user defined networks only");
    }
  }
  if (IPv4Address && !isIPv4(IPv4Address)) problems.push(`invalid IPv4 address: ${IPv4Address}`);
  if (IPv6Address && !isIPv6(IPv6Address)) problems.push(`invalid IPv6 address: ${IPv6Address}`);
  if (PREDEFINED.includes(network) && (IPv4Address || IPv6Address)) {
    problems.push(
      "user specified IP address is supported only when connecting to networks with user " +
        "configured subnets",
    );
  }
  const mac = settings.MacAddress;
  if (problems.length === 0) {
    if (!mac || MAC.test(mac)) return;
    throw new GantryError("invalid", `invalid MAC address ${mac}`);
  }
  const lines = problems.length > 1 ? problems.map((problem) => `* ${problem}`) : problems;
  throw new GantryError("invalid", ["invalid endpoint settings:", ...lines].join("\n"));
}

/** Throws where a network cannot be one of several. */
export function checkCompany(name: string): void {
  if (name === "host") {
    throw new GantryError(
      "invalid",
      "container cannot be disconnected from host network or connected to host network",
    );
  }
  if (name === "none") {
    throw new GantryError(
      "invalid",
      "container cannot be connected to multiple networks with one of the networks in private " +
        "(none) mode",
    );
  }
}

export function networkNameOf(engine: EngineContext, ref: string): string {
  if (ref === "default") return "bridge";
  return findNetworkByRef(engine, ref)?.Name ?? ref;
}
