// The endpoints that a container is to have: by the names of their networks, whatever reference
// was used. A network that does not exist is refused at start: "not found" at create would make
// the docker CLI pull the image.

import { GantryError } from "../../base/index.ts";
import type { EndpointSettings, NetworkingConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { findNetworkByRef } from "../networks/find.ts";
import { containerOf } from "./host-config.ts";
import { checkAddresses } from "./networking.ts";

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
    checkAddresses(name, settings);
    endpoints[name] = { ...settings };
  }
  const names = Object.keys(endpoints);
  if (names.length > 1) for (const name of names) checkCompany(name);
  return endpoints;
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
