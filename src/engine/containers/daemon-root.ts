// Binds that reach into the data root, or have it inside them (`-v /:/host`): what is mounted there
// for volumes comes and goes, and a private copy in a container would keep it busy for ever. Like
// dockerd, they are slaves of the host's mounts unless another mode was asked for.

import { GantryError } from "../../base/index.ts";
import type { MountRecord } from "./record.ts";

const FITTING = ["rslave", "rshared"];

/** Throws invalid with dockerd's words. */
export function propagateFromRoot(mount: MountRecord, dataRoot: string): MountRecord {
  if (mount.Type !== "bind" || !touches(mount.Source, dataRoot)) return mount;
  if (!mount.propagationAsked) return { ...mount, Propagation: "rslave" };
  if (FITTING.includes(mount.Propagation)) return mount;
  throw new GantryError(
    "invalid",
    'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount ' +
      `source is within the daemon root, daemon root: ${JSON.stringify(dataRoot)}, bind mount ` +
      `source: ${JSON.stringify(mount.Source)}, propagation: ${JSON.stringify(mount.Propagation)}`,
  );
}

/** One is inside the other, or they are the same. */
export function touches(a: string, b: string): boolean {
  const inside = (path: string, folder: string) =>
    path === folder || folder === "/" || path.startsWith(`${folder}/`);
  return inside(a, b) || inside(b, a);
}
