// Which records of the build cache go: by filters, by age, by how much may stay. Those in use never.
// The least recently used go first, so a step goes after the steps that stand on it.

import { statfs } from "node:fs/promises";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Filters } from "../contract.ts";
import { parseMoment } from "../prune-filters.ts";
import type { CacheEntry, CacheStore } from "./cache-store.ts";

export interface CachePruneOptions {
  filters?: Filters;
  /** Also what images share, which frees nothing by itself. */
  all?: boolean;
  reservedBytes?: number;
  maxUsedBytes?: number;
  minFreeBytes?: number;
}

/** What the cache may take of its disk before the oldest go, as docker's default policy. */
const DISK_SHARE_MAX = 0.1;
const FILTERS = ["until", "unused-for", "id", "parent", "type", "description", "inuse"];
const MORE_FILTERS = ["shared", "private"];

export async function pruneCache(
  engine: EngineContext,
  cache: CacheStore,
  o: CachePruneOptions = {},
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const matches = entryFilter(o.filters ?? new Map());
  const entries = cache.list();
  const candidates = entries
    .filter((entry) => !entry.inUse && (o.all || !entry.shared) && matches(entry))
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
  const keep = await bytesToKeep(engine, entries, o);
  let total = sizeOf(entries);
  const doomed: CacheEntry[] = [];
  for (const entry of candidates) {
    if (keep !== undefined && total <= keep) break;
    doomed.push(entry);
    if (!entry.shared) total -= entry.size;
  }
  const spaceReclaimed = await cache.remove(doomed);
  return { deleted: doomed.map(({ id }) => id), spaceReclaimed };
}

/** After each build: what grew beyond its share of the disk. */
export async function collectCache(engine: EngineContext, cache: CacheStore): Promise<void> {
  const { blocks, bsize } = await statfs(engine.options.dataRoot);
  const maxUsedBytes = Math.floor(blocks * bsize * DISK_SHARE_MAX);
  if (sizeOf(cache.list()) <= maxUsedBytes) return;
  await pruneCache(engine, cache, { maxUsedBytes, all: true });
}

/** Bytes that are the cache's alone. */
export function sizeOf(entries: readonly CacheEntry[]): number {
  const sizes = new Map(
    entries.flatMap(({ layer, size, shared }) => (layer && !shared ? [[layer, size]] : [])),
  );
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** Undefined: nothing has to stay. */
async function bytesToKeep(
  engine: EngineContext,
  entries: readonly CacheEntry[],
  { reservedBytes = 0, maxUsedBytes = 0, minFreeBytes = 0 }: CachePruneOptions,
): Promise<number | undefined> {
  if (reservedBytes === 0 && maxUsedBytes === 0 && minFreeBytes === 0) return undefined;
  let keep = maxUsedBytes;
  if (minFreeBytes > 0) {
    const { bavail, bsize } = await statfs(engine.options.dataRoot);
    const total = sizeOf(entries);
    const excess = Math.max(0, minFreeBytes - bavail * bsize);
    const room = Math.max(0, total - excess);
    keep = maxUsedBytes === 0 ? room : Math.min(maxUsedBytes, room);
  }
  return Math.max(keep, reservedBytes);
}

function entryFilter(filters: Filters): (entry: CacheEntry) => boolean {
  const tests: ((entry: CacheEntry) => boolean)[] = [];
  for (const [name, values] of filters) {
    if (![...FILTERS, ...MORE_FILTERS].includes(name)) {
      throw new GantryError("invalid", `invalid filter '${name}'`);
    }
    if (values.length > 1 && (name === "until" || name === "unused-for")) {
      throw new GantryError("invalid", `filter ${JSON.stringify(name)} expects only one value`);
    }
    tests.push(testOf(name, values));
  }
  return (entry) => tests.every((test) => test(entry));
}

function testOf(name: string, values: readonly string[]): (entry: CacheEntry) => boolean {
  switch (name) {
    case "until":
    case "unused-for": {
      const moment = parseMoment(values[0] ?? "");
      return ({ lastUsedAtMs }) => lastUsedAtMs <= moment;
    }
    case "id":
      return ({ id, key }) =>
        values.some(
          (value) => id.startsWith(value) || key.slice("sha256:".length).startsWith(value),
        );
    case "parent":
      return () => false; // records do not name the ones that they stand on
    case "type":
      return () => values.includes("regular");
    case "description":
      return ({ description }) => values.some((value) => description.includes(value));
    case "inuse":
      return ({ inUse }) => inUse === truth(values);
    case "shared":
      return ({ shared }) => shared === truth(values);
    default:
      return ({ shared }) => shared !== truth(values);
  }
}

const truth = ([value = ""]: readonly string[]): boolean => value !== "false" && value !== "0";
