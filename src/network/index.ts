// The door of the network layer.

import { keptProgramPath } from "../native/index.ts";
import type { NetworkLayer } from "./contract.ts";
import { readHostState } from "./host-state.ts";
import { Networks } from "./layer.ts";
import type { NetworkSurroundings } from "./options.ts";

export { addressBytes } from "./addresses.ts";
export type {
  Attachment,
  AttachmentRecord,
  CreateNetworkRequest,
  EndpointDns,
  ExplainLine,
  NetworkLayer,
  PublishedPort,
  PublishRequest,
  Reach,
} from "./contract.ts";
export { RESOLVER_ADDRESS } from "./dns-sandbox.ts";
export { type InterfaceSeen, lookInside, type NetworkSeen } from "./look-inside.ts";
export type { NetworkOptions, NetworkSurroundings } from "./options.ts";
export { networkDefaults, parseMark } from "./options.ts";
export { eachPort } from "./port-ranges.ts";

/** Reads the host's network and opens the records; changes nothing on the host. */
export async function openNetwork(surroundings: NetworkSurroundings): Promise<NetworkLayer> {
  const command = surroundings.portHolder ?? [keptProgramPath(), "ports"];
  const resolver = surroundings.resolver ?? [keptProgramPath(), "resolver"];
  return new Networks(
    { ...surroundings, command, resolver },
    await readHostState(surroundings.native),
  );
}
