// Ranges of ids on the host: which are free, and how those of a container become maps. Pure.

import { GantryError } from "../../base/index.ts";
import type { IdMaps, OciIdMapping } from "../../spec/index.ts";

export interface IdRange {
  start: number;
  size: number;
}

/** 2^32 - 1 means "no id" to the kernel. */
export const ID_COUNT = 2 ** 32 - 1;

const endOf = ({ start, size }: IdRange): number => start + size;

export const overlaps = (a: IdRange, b: IdRange): boolean =>
  a.start < endOf(b) && b.start < endOf(a);

/** What is left of `ranges` without `taken`, in order. */
export function subtract(ranges: readonly IdRange[], taken: readonly IdRange[]): IdRange[] {
  const sorted = taken.toSorted((a, b) => a.start - b.start);
  const left: IdRange[] = [];
  for (const range of ranges) {
    let at = range.start;
    for (const one of sorted) {
      if (endOf(one) <= at || one.start >= endOf(range)) continue;
      if (one.start > at) left.push({ start: at, size: one.start - at });
      at = Math.max(at, endOf(one));
    }
    if (at < endOf(range)) left.push({ start: at, size: endOf(range) - at });
  }
  return left;
}

/** The first `size` ids in one piece that are free. */
export function firstFree(
  pool: readonly IdRange[],
  taken: readonly IdRange[],
  size: number,
): IdRange | undefined {
  const gap = subtract(pool, taken).find((range) => range.size >= size);
  return gap && { start: gap.start, size };
}

/** One range after another, from the container's 0 on. */
export function mapInARow(ranges: readonly IdRange[]): OciIdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, size }) => {
    const mapping = { containerID, hostID: start, size };
    containerID += size;
    return mapping;
  });
}

/** Those ids below `size` that `given` does not map, from `start` on; and what is given. */
export function mapAround(
  given: readonly OciIdMapping[],
  size: number,
  start: number,
): OciIdMapping[] {
  const inside = given.map((m) => ({ start: m.containerID, size: m.size }));
  let hostID = start;
  const filled = subtract([{ start: 0, size }], inside).map((gap) => {
    const mapping = { containerID: gap.start, hostID, size: gap.size };
    hostID += gap.size;
    return mapping;
  });
  return [...given, ...filled].sort((a, b) => a.containerID - b.containerID);
}

/** How many ids a map needs of the pool. */
export function needed(given: readonly OciIdMapping[], size: number): number {
  const inside = given.map((m) => ({ start: m.containerID, size: m.size }));
  return subtract([{ start: 0, size }], inside).reduce((sum, gap) => sum + gap.size, 0);
}

export const hostRanges = (mappings: readonly OciIdMapping[]): IdRange[] =>
  mappings.map(({ hostID, size }) => ({ start: hostID, size }));

/** The id outside of an id inside; undefined where it has none. */
export function outside(mappings: readonly OciIdMapping[], id: number): number | undefined {
  const map = mappings.find((m) => id >= m.containerID && id < m.containerID + m.size);
  return map && map.hostID + id - map.containerID;
}

/** First `inner` (ids on the disk to ids in the container), then `outer` (to ids on the host). */
export function compose(
  inner: readonly OciIdMapping[],
  outer: readonly OciIdMapping[],
): OciIdMapping[] {
  const both: OciIdMapping[] = [];
  for (const a of inner) {
    for (const b of outer) {
      const from = Math.max(a.hostID, b.containerID);
      const to = Math.min(a.hostID + a.size, b.containerID + b.size);
      if (from >= to) continue;
      both.push({
        containerID: a.containerID + from - a.hostID,
        hostID: b.hostID + from - b.containerID,
        size: to - from,
      });
    }
  }
  return both.sort((a, b) => a.containerID - b.containerID);
}

/** "0:100000:65536", as podman's inspect writes them. */
export const mapWords = (mappings: readonly OciIdMapping[]): string[] =>
  mappings.map((m) => `${m.containerID}:${m.hostID}:${m.size}`);

/** Throws invalid in docker's manner for ids that the namespace does not have. */
export function requireMapped(
  maps: IdMaps & { taken?: object },
  user: { uid: number; gid: number; additionalGids?: readonly number[] },
): void {
  const check = (what: string, mappings: readonly OciIdMapping[], id: number) => {
    if (outside(mappings, id) !== undefined) return;
    throw new GantryError(
      "invalid",
      `${what} ${id} is not in the container's user namespace, which has ` +
        `${mappings.map(idsOf).join(", ")}: ` +
        (maps.taken ? `use --userns=auto:size=${id + 1}` : "give its owner more subordinate ids"),
    );
  };
  check("user", maps.uid, user.uid);
  for (const gid of [user.gid, ...(user.additionalGids ?? [])]) check("group", maps.gid, gid);
}

const idsOf = ({ containerID, size }: OciIdMapping): string =>
  `${containerID} to ${containerID + size - 1}`;
