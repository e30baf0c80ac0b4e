// Which records of the build cache go: by filters, by age, by how much may stay; those in use never
// do. The least recently used go first, so a step goes after the steps that stand on it.

import { statfs } from "node:fs/promises";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Filters } from "../contract.ts";
import { parseMoment } from "../prune-filters.ts";
import type { CacheMountEntry, CacheMounts } from "./cache-mounts.ts";
import type { CacheEntry, CacheStore } from "./cache-store.ts";
import type { ContextEntry, ContextStore, ContextType } from "./contexts/index.ts";

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
const MOUNT_ID_DIGITS = 25;
const FILTERS = ["until", "unused-for", "id", "parent", "type", "description", "inuse"];
const MORE_FILTERS = ["shared", "private"];

export interface PrunePlace {
  engine: EngineContext;
  cache: CacheStore;
  cacheMounts: CacheMounts;
  contextStore: ContextStore;
}

export async function pruneCache(
  place: PrunePlace,
  o: CachePruneOptions = {},
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const { engine, cache } = place;
  const matches = entryFilter(o.filters ?? new Map());
  const entries = await entriesOf(place);
  const candidates = entries
    .filter((entry) => !entry.inUse && (o.all || !entry.shared) && matches(entry))
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
  const keep = await bytesToKeep(engine, entries, o);
  let total = sizeOf(entries);
  const doomed: Entry[] = [];
  for (const entry of candidates) {
    if (keep !== undefined && total <= keep) break;
    doomed.push(entry);
    if (!entry.shared) total -= entry.size;
  }
  let spaceReclaimed = await cache.remove(doomed.flatMap(({ step }) => step ?? []));
  for (const entry of doomed) if (!entry.step) spaceReclaimed += await removeFolder(place, entry);
  return { deleted: doomed.map(({ id }) => id), spaceReclaimed };
}

async function entriesOf({ cache, cacheMounts, contextStore }: PrunePlace): Promise<Entry[]> {
  const mounts = (await cacheMounts.list()).map(entryOfMount);
  const contexts = (await contextStore.list()).map(entryOfContext);
  return [...cache.list().map(entryOfStep), ...mounts, ...contexts];
}

async function removeFolder(
  { cacheMounts, contextStore }: PrunePlace,
  { type, key, size }: Entry,
): Promise<number> {
  if (type !== "exec.cachemount") return await contextStore.remove(key);
  await cacheMounts.remove(key);
  return size;
}

/** A cached step, a cache mount or a kept context. */
interface Entry extends Pick<CacheEntry, "id" | "key" | "size" | "inUse" | "shared"> {
  type: "regular" | "exec.cachemount" | ContextType;
  description: string;
  lastUsedAtMs: number;
  /** What is counted once however many records have it. */
  content: string;
  step?: CacheEntry;
}

function entryOfStep(step: CacheEntry): Entry {
  return { ...step, type: "regular", content: step.layer ?? "", step };
}

function entryOfMount({ key, name, ...facts }: CacheMountEntry): Entry {
  const id = key.slice(0, MOUNT_ID_DIGITS);
  const description = `cached mount ${name}`;
  return {
    ...facts,
    ...{ id, key, description, shared: false, content: key },
    type: "exec.cachemount",
  };
}

function entryOfContext({ key, ...facts }: ContextEntry): Entry {
  return { ...facts, id: key.slice(0, MOUNT_ID_DIGITS), key, shared: false, content: key };
}

/** After each build: what grew beyond its share of the disk. */
export async function collectCache(place: PrunePlace): Promise<void> {
  const { engine } = place;
  const { blocks, bsize } = await statfs(engine.options.dataRoot);
  const maxUsedBytes = Math.floor(blocks * bsize * DISK_SHARE_MAX);
  if (sizeOf(await entriesOf(place)) <= maxUsedBytes) return;
  await pruneCache(place, { maxUsedBytes, all: true });
}

/** Bytes that are the cache's alone. */
function sizeOf(entries: readonly Entry[]): number {
  const sizes = new Map<string, number>();
  for (const { content, size, shared } of entries) if (!shared) sizes.set(content, size);
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** Undefined: nothing has to stay. */
async function bytesToKeep(
  engine: EngineContext,
  entries: readonly Entry[],
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

function entryFilter(filters: Filters): (entry: Entry) => boolean {
  const tests: ((entry: Entry) => boolean)[] = [];
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

function testOf(name: string, values: readonly string[]): (entry: Entry) => boolean {
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
      return ({ type }) => values.includes(type);
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
