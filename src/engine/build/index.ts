// The verbs of building as the doors see them.

import { randomBytes } from "node:crypto";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Progress } from "../contract.ts";
import { CacheMounts } from "./cache-mounts.ts";
import { CacheStore } from "./cache-store.ts";
import { classicBuild } from "./classic.ts";
import type { BuildRequest, Builds } from "./contract.ts";
import { pruneCache } from "./prune.ts";
import { clearWorkspaces } from "./workspace.ts";

export interface RunningBuilds extends Builds {
  /** For `system df`. */
  usage(): Promise<BuildCacheUsage[]>;
  /** Resolves when no build runs; `engine.closing` has ended them. */
  idle(): Promise<void>;
}

const MOUNT_ID_DIGITS = 25;

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

/** To be called before garbage is collected: the cache keeps its layers from then on. */
export function openCache(engine: Pick<EngineContext, "storage">): CacheStore {
  return new CacheStore(engine.storage);
}

export async function buildVerbs(engine: EngineContext, cache: CacheStore): Promise<RunningBuilds> {
  await clearWorkspaces(engine);
  const cacheMounts = new CacheMounts(engine);
  const running = new Map<string, AbortController>();
  const ends = new Set<Promise<void>>();
  return {
    build: (request, o) =>
      follow({ engine, cache, cacheMounts, running, ends }, request, o?.signal),
    cancel: (id) => {
      const found = running.get(id);
      if (!found) throw new GantryError("not-found", `no build with id ${id} is running`);
      found.abort(new GantryError("cancelled", "Build cancelled"));
    },
    prune: async (o) => {
      const result = await pruneCache({ engine, cache, cacheMounts }, o);
      const reclaimed = String(result.spaceReclaimed);
      engine.bus.publish("builder", "prune", "", { reclaimed });
      return result;
    },
    usage: async () => [...usageOf(cache), ...(await mountUsage(cacheMounts))],
    idle: async () => {
      while (ends.size > 0) await Promise.all(ends);
    },
  };
}

interface Running {
  engine: EngineContext;
  cache: CacheStore;
  cacheMounts: CacheMounts;
  running: Map<string, AbortController>;
  ends: Set<Promise<void>>;
}

async function* follow(
  { engine, cache, cacheMounts, running, ends }: Running,
  request: BuildRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Progress> {
  const id = request.buildId || randomBytes(16).toString("hex");
  if (running.has(id)) throw new GantryError("conflict", `a build with id ${id} is running`);
  const cancel = new AbortController();
  const end = Promise.withResolvers<void>();
  running.set(id, cancel);
  ends.add(end.promise);
  const afterwards = (work: Promise<void>) => {
    ends.add(work);
    void work.finally(() => ends.delete(work));
  };
  const signals = signal ? AbortSignal.any([signal, cancel.signal]) : cancel.signal;
  try {
    yield* classicBuild({ engine, cache, cacheMounts, afterwards }, request, { signal: signals });
  } finally {
    running.delete(id);
    ends.delete(end.promise);
    end.resolve();
  }
}

function usageOf(cache: CacheStore): BuildCacheUsage[] {
  return cache.list().map((entry) => ({
    ID: entry.id,
    Parents: [],
    Type: "regular",
    Description: entry.description,
    InUse: entry.inUse,
    Shared: entry.shared,
    Size: entry.size,
    CreatedAt: new Date(entry.createdAtMs).toISOString(),
    LastUsedAt: new Date(entry.lastUsedAtMs).toISOString(),
    UsageCount: entry.usageCount,
  }));
}

async function mountUsage(mounts: CacheMounts): Promise<BuildCacheUsage[]> {
  return (await mounts.list()).map((entry) => ({
    ...{ ID: entry.key.slice(0, MOUNT_ID_DIGITS), Parents: [], Type: "exec.cachemount" },
    Description: `cached mount ${entry.name}`,
    ...{ InUse: entry.inUse, Shared: false, Size: entry.size },
    CreatedAt: new Date(entry.createdAtMs).toISOString(),
    LastUsedAt: new Date(entry.lastUsedAtMs).toISOString(),
    UsageCount: entry.usageCount,
  }));
}
