// The network layer of a daemon that has no bridge (`--bridge none`): containers have the host's
// network, their own empty one, or another container's.

import { createHash } from "node:crypto";
import { GantryError } from "../base/index.ts";
import type { NetworkLayer } from "../network/index.ts";

export function networkWithoutBridge(): NetworkLayer {
  const networks = [predefined("host", "host"), predefined("none", "null")];
  return {
    async start() {},
    async attach({ networkName }) {
      throw new GantryError("not-found", `network ${networkName} not found`);
    },
    async detach() {},
    describe: () => networks,
    async stop() {},
  };
}

function predefined(name: string, driver: string) {
  return {
    Name: name,
    Id: createHash("sha256").update(`gantry predefined network ${name}`).digest("hex"),
    Created: "0001-01-01T00:00:00Z",
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: null },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Options: {},
    Labels: {},
  };
}
