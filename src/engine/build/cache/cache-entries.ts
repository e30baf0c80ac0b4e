// What the build cache holds, as its users see it: steps, cache mounts, kept contexts. One list for
// `du`, `system df` and prune, so that what is shown is what may go.

import type { CacheMounts } from "../cache-mounts.ts";
import type { CacheEntry, CacheStore } from "../cache-store.ts";
import type { ContextStore, ContextType } from "../contexts/index.ts";

export interface EntryPlace {
  cache: CacheStore;
  cacheMounts: CacheMounts;
  contextStore: ContextStore;
}
export interface Entry {
  id: string;
  key: string;
  type: "regular" | "exec.cachemount" | ContextType;
  description: string;
  /** Ids of the records that it stands on. */
  parents: readonly string[];
  size: number;
  inUse: boolean;
  /** An image has it too: forgetting it frees nothing. */
  shared: boolean;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
  /** What is counted once however many records have it. */
  content: string;
  step?: CacheEntry;
}
/** Docker's BuildCache. */
export interface BuildCacheUsage {
  ID: string;
  Parents: string[];
  Type: string;
  Description: string;
  InUse: boolean;
  Shared: boolean;
  Size: number;
  CreatedAt: string;
  LastUsedAt: string;
  UsageCount: number;
}

/** Digits of a key that name a record, as many as docker's. */
const ID_DIGITS = 25;
const entryId = (key: string): string => key.slice(key.indexOf(":") + 1).slice(0, ID_DIGITS);

export async function entriesOf(place: EntryPlace): Promise<Entry[]> {
  const { cache, cacheMounts, contextStore } = place;
  const steps = cache.list();
  const known = new Set(steps.map(({ key }) => key));
  const mounts = await cacheMounts.list();
  const contexts = await contextStore.list();
  const alone = { shared: false, parents: [] };
  return [
    ...steps.map(
      (step): Entry => ({
        ...step,
        ...{ type: "regular", content: step.layer ?? "", step },
        parents: (step.inputs ?? []).filter((key) => known.has(key)).map(entryId),
      }),
    ),
    ...mounts.map(
      ({ key, name, ...facts }): Entry => ({
        ...{ ...facts, ...alone, id: entryId(key), key, content: key, type: "exec.cachemount" },
        description: `cached mount ${name}`,
      }),
    ),
    ...contexts.map(
      ({ key, ...facts }): Entry => ({ ...facts, ...alone, id: entryId(key), key, content: key }),
    ),
  ];
}

/** Bytes that are the cache's alone. */
export function bytesOf(entries: readonly Entry[]): number {
  const sizes = new Map<string, number>();
  for (const { content, size, shared } of entries) if (!shared) sizes.set(content, size);
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

export async function cacheUsage(place: EntryPlace): Promise<BuildCacheUsage[]> {
  return (await entriesOf(place)).map((entry) => ({
    ...{ ID: entry.id, Parents: [...entry.parents], Type: entry.type },
    ...{ Description: entry.description, InUse: entry.inUse, Shared: entry.shared },
    Size: entry.size,
    CreatedAt: new Date(entry.createdAtMs).toISOString(),
    LastUsedAt: new Date(entry.lastUsedAtMs).toISOString(),
    UsageCount: entry.usageCount,
  }));
}
