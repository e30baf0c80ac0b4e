// Ranges of ids between a user namespace and the host (config-linux.md, user namespace mappings):
// checked before the kernel sees them, whose only word for all that is wrong is EINVAL.

import { GantryError } from "../base/index.ts";
import type { OciIdMapping, OciLinux } from "../spec/index.ts";

/** The kernel takes one write of less than a page, and this many ranges (Linux 4.15). */
const MAP_BYTES_MAX = 4095;
const RANGES_MAX = 340;
const IDS = 2 ** 32 - 1; // the last number stands for "no id"

/** "container host size" lines. */
export function idMapText(mappings: readonly OciIdMapping[] = []): string {
  return mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
}

/** The id outside; undefined where it is not mapped. */
export function hostIdOf(mappings: readonly OciIdMapping[], id: number): number | undefined {
  const map = mappings.find((m) => id >= m.containerID && id < m.containerID + m.size);
  return map && map.hostID + id - map.containerID;
}

/** Throws invalid for what is no id: numbers of the kernel's are 32 bits wide, a longer one would
 * lose its upper bits and become somebody else's, and the last one means "as before". */
export function checkId(id: number, what: string): void {
  if (Number.isInteger(id) && id >= 0 && id < IDS) return;
  throw new GantryError("invalid", `${what} ${id} is not between 0 and ${IDS - 1}`);
}

/** Throws invalid for ranges that the kernel would refuse; `what` names them. */
export function checkIdMap(mappings: readonly OciIdMapping[], what: string): void {
  const refuse = (why: string) => new GantryError("invalid", `invalid ${what}: ${why}`);
  if (mappings.length > RANGES_MAX || idMapText(mappings).length > MAP_BYTES_MAX) {
    throw refuse(`${mappings.length} ranges are more than the kernel takes`);
  }
  for (const { containerID, hostID, size } of mappings) {
    const text = `${containerID}:${hostID}:${size}`;
    for (const number of [containerID, hostID, size]) {
      if (!Number.isInteger(number) || number < 0) throw refuse(`${text} is no range`);
    }
    if (size === 0) throw refuse(`${text} is empty`);
    if (containerID + size > IDS || hostID + size > IDS) {
      throw refuse(`${text} is beyond the last id`);
    }
  }
  for (const side of ["containerID", "hostID"] as const) {
    const sorted = [...mappings].sort((a, b) => a[side] - b[side]);
    for (const [index, { size, ...range }] of sorted.entries()) {
      const next = sorted[index + 1];
      if (next && range[side] + size > next[side]) {
        throw refuse(`the ranges overlap at ${side} ${next[side]}`);
      }
    }
  }
}

/** Throws invalid unless the maps of a container fit its namespaces. */
export function checkUserMaps(
  { uidMappings = [], gidMappings = [] }: OciLinux,
  user: "new" | "joined" | "none",
): void {
  const given = uidMappings.length + gidMappings.length > 0;
  if (user === "none") {
    if (!given) return;
    throw new GantryError(
      "invalid",
      "user namespace mappings specified, but user namespace isn't enabled in the config",
    );
  }
  if (user === "new" && uidMappings.length === 0) {
    throw new GantryError("invalid", "user namespaces enabled, but no uid mappings found");
  }
  if (user === "new" && gidMappings.length === 0) {
    throw new GantryError("invalid", "user namespaces enabled, but no gid mappings found");
  }
  checkIdMap(uidMappings, "uidMappings");
  checkIdMap(gidMappings, "gidMappings");
}

/** The lines of /proc/PID/uid_map. */
export function parseIdMap(text: string): OciIdMapping[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID, hostID, size };
    });
}
