// The host's firewall as the network layer wants it: its table's name, what is let in by mark, and
// the program that watches the table.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { keptProgramPath } from "../native/index.ts";
import { HostFirewall } from "./host-firewall.ts";
import { type NetworkSurroundings, parseMark } from "./options.ts";

type World = ConstructorParameters<typeof HostFirewall>[0]["world"];

/** `bridge`: the default network's, if there is one. */
export function layerFirewall(
  { native, log, execRoot, options, enter = [] }: NetworkSurroundings,
  { bridge, world }: { bridge: string | undefined; world: World },
): HostFirewall {
  // Several daemons on one host have a table each.
  const token = createHash("sha256").update(execRoot).digest("hex").slice(0, 8);
  const name = `gantry_${bridge ?? token}`;
  return new HostFirewall({
    native,
    log,
    name,
    iptables: options.iptables,
    acceptInOthers: options.acceptInOtherFirewalls,
    enter,
    exposure: options,
    acceptMark: parseMark(options.bridgeAcceptFwmark),
    guardFile: join(execRoot, "forward-guard"),
    watch: [...enter, keptProgramPath(), "firewall-watch", name],
    world,
  });
}
