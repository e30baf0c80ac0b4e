// Flags of docker's that speak of swarm's cluster volumes. They are known, so that a script hears
// what is missing rather than "unknown flag", and refused as a daemon in no swarm refuses them.

import { GantryError } from "../../../base/index.ts";

const text = { type: "string", hidden: true } as const;
const list = { type: "list", hidden: true } as const;

export const clusterFlags = {
  availability: { ...text, default: "active" },
  group: text,
  "limit-bytes": text,
  "required-bytes": text,
  scope: { ...text, default: "single" },
  secret: { type: "map", hidden: true },
  sharing: { ...text, default: "none" },
  "topology-preferred": list,
  "topology-required": list,
  type: { ...text, default: "block" },
} as const;

/** Throws unavailable when one of the flags was given. */
export function refuseClusterFlags(changed: ReadonlySet<string>): void {
  const given = Object.keys(clusterFlags).find((name) => changed.has(name));
  if (given === undefined) return;
  throw new GantryError(
    "unavailable",
    `--${given} is for cluster volumes, which need a swarm: this node is not a swarm manager`,
  );
}
