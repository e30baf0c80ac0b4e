// Networks and address pools of plugins: there are none. A plugin that is there is refused with the
// reason; one that is not is the network layer's to refuse, as any unknown driver.

import { GantryError } from "../../base/index.ts";
import type { CreateNetworkRequest } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";

const OWN_DRIVERS = ["", "bridge", "host", "null", "none", "macvlan", "ipvlan", "overlay"];
const OWN_IPAM = ["", "default", "null"];

/** Throws not-implemented when the request is for a plugin that could do it elsewhere. */
export async function refusePlugins(
  engine: EngineContext,
  { Driver = "", IPAM }: CreateNetworkRequest,
): Promise<void> {
  const asked = [
    ...(OWN_DRIVERS.includes(Driver) ? [] : [{ name: Driver, part: "NetworkDriver" }]),
    ...(OWN_IPAM.includes(IPAM?.Driver ?? "") ? [] : [{ name: IPAM!.Driver!, part: "IpamDriver" }]),
  ];
  for (const { name, part } of asked) {
    if (!(await engine.plugins.partsOf(name)).includes(part)) continue;
    throw new GantryError(
      "not-implemented",
      `plugin ${JSON.stringify(name)}: network plugins are not supported: ` +
        "Gantry makes networks with the kernel's own bridge, macvlan and ipvlan only",
    );
  }
}
