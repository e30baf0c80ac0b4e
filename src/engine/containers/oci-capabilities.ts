// The capabilities of a container: Docker's fourteen defaults, changed by --cap-add and --cap-drop.

import { GantryError } from "../../base/index.ts";
import { capabilitiesOf, capabilityNames } from "../../runtime/index.ts";
import type { HostConfig, OciProcess } from "../../spec/index.ts";

const DEFAULTS = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];
const ALL = "ALL";

/** `available` is what the daemon itself holds: ALL and --privileged mean no more than that. */
export function capabilitiesFor(
  host: Pick<HostConfig, "CapAdd" | "CapDrop" | "Privileged">,
  available: bigint,
): string[] {
  if (host.Privileged) return capabilitiesOf(available);
  const add = normalise("CapAdd", host.CapAdd ?? []);
  const drop = normalise("CapDrop", host.CapDrop ?? []);
  let base: readonly string[];
  if (add.includes(ALL)) base = capabilitiesOf(available);
  else if (drop.includes(ALL)) base = [];
  else base = DEFAULTS;
  const dropped = new Set(drop);
  // What is added by name wins over "drop all"; what is dropped by name, over everything added.
  const kept = base.filter((name) => !dropped.has(name));
  const added = add.filter((name) => name !== ALL && !dropped.has(name));
  return [...new Set([...kept, ...added])];
}

function normalise(field: "CapAdd" | "CapDrop", names: readonly string[]): string[] {
  return names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === ALL) return ALL;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (capabilityNames.includes(name)) return name;
    const quoted = JSON.stringify(name);
    throw new GantryError("invalid", `invalid ${field}: unknown capability: ${quoted}`);
  });
}

/** Only root starts with them; for others they are what set-uid programs may regain. */
export function processCapabilities(
  names: string[],
  uid: number,
): NonNullable<OciProcess["capabilities"]> {
  return uid === 0 ? { bounding: names, effective: names, permitted: names } : { bounding: names };
}
