// Which records of the build cache go: by filters, by age, by how much may stay; those in use never
// do. The least recently used go first, so a step goes after the steps that stand on it.

import { statfs } from "node:fs/promises";
import type { EngineContext } from "../context.ts";
import type { Filters, PruneItem } from "../contract.ts";
import { bytesOf, type Entry, type EntryPlace, entriesOf } from "./cache/cache-entries.ts";
import { entryFilter } from "./cache/entry-filter.ts";
import { gcDefaults, gcRules, pruneOptionsOf } from "./cache/gc-policy.ts";

export interface CachePruneOptions {
  filters?: Filters;
  /** Also what images share, which frees nothing by itself. */
  all?: boolean;
  /** Only what was not used for so long. */
  keepMs?: number;
  reservedBytes?: number;
  maxUsedBytes?: number;
  minFreeBytes?: number;
}
export interface PrunePlace extends EntryPlace {
  engine: EngineContext;
}

export async function pruneCache(
  place: PrunePlace,
  o: CachePruneOptions = {},
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const doomed = await choose(place, await entriesOf(place), o);
  let spaceReclaimed = await place.cache.remove(doomed.flatMap(({ step }) => step ?? []));
  for (const entry of doomed) if (!entry.step) spaceReclaimed += await removeFolder(place, entry);
  return { deleted: doomed.map(({ id }) => id), spaceReclaimed };
}

/** What pruneCache() would remove, and what each frees. */
export async function planCachePrune(
  place: PrunePlace,
  o: CachePruneOptions = {},
): Promise<PruneItem[]> {
  const entries = await entriesOf(place);
  const doomed = await choose(place, entries, o);
  const users = usersOf(entries);
  return doomed.map(({ id, description, content, shared, size }) => {
    const left = users.get(content)! - 1;
    users.set(content, left);
    return { kind: "build-cache", id, name: description, bytes: shared || left > 0 ? 0 : size };
  });
}

async function choose(
  { engine }: PrunePlace,
  entries: readonly Entry[],
  o: CachePruneOptions,
): Promise<Entry[]> {
  const matches = entryFilter(o.filters ?? new Map());
  const newestMs = o.keepMs === undefined ? Number.POSITIVE_INFINITY : Date.now() - o.keepMs;
  const isCandidate = ({ inUse, shared, lastUsedAtMs }: Entry) =>
    !inUse && (o.all || !shared) && lastUsedAtMs <= newestMs;
  const candidates = entries
    .filter((entry) => isCandidate(entry) && matches(entry))
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
  const keep = await bytesToKeep(engine, entries, o);
  const users = usersOf(entries);
  let total = bytesOf(entries);
  const doomed: Entry[] = [];
  for (const entry of candidates) {
    if (keep !== undefined && total <= keep) break;
    doomed.push(entry);
    const left = users.get(entry.content)! - 1;
    users.set(entry.content, left);
    if (!entry.shared && left === 0) total -= entry.size;
  }
  return doomed;
}

/** How many records have a content: its bytes go with the last of them. */
function usersOf(entries: readonly Entry[]): Map<string, number> {
  const users = new Map<string, number>();
  for (const { content } of entries) users.set(content, (users.get(content) ?? 0) + 1);
  return users;
}

async function removeFolder(
  { cacheMounts, contextStore }: PrunePlace,
  { type, key, size }: Entry,
): Promise<number> {
  if (type !== "exec.cachemount") return await contextStore.remove(key);
  return (await cacheMounts.remove(key)) ? size : 0;
}

/** What is pruned after each build, in this order; nothing where daemon.json says so. */
export async function gcPolicy(engine: EngineContext): Promise<readonly CachePruneOptions[]> {
  const gc = engine.options.builder?.gc ?? gcDefaults;
  if (!gc.enabled) return [];
  const { blocks, bsize } = await statfs(engine.options.dataRoot);
  return gcRules(gc).map((rule) => pruneOptionsOf(rule, blocks * bsize));
}

/** After each build: what grew beyond what daemon.json leaves it. */
export async function collectCache(place: PrunePlace): Promise<void> {
  const { engine } = place;
  for (const o of await gcPolicy(engine)) {
    const { deleted, spaceReclaimed } = await pruneCache(place, o);
    if (deleted.length === 0) continue;
    engine.log.info("Build cache was collected", { records: deleted.length, spaceReclaimed });
  }
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
    const total = bytesOf(entries);
    const excess = Math.max(0, minFreeBytes - bavail * bsize);
    const room = Math.max(0, total - excess);
    keep = maxUsedBytes === 0 ? room : Math.min(maxUsedBytes, room);
  }
  return Math.max(keep, reservedBytes);
}
