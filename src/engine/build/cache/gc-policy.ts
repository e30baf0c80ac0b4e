// What the build cache may take by itself: rules that are gone through after each build, each of
// which names records and how much of them may stay. Pure.

import type { Filters } from "../../contract.ts";
import type { CachePruneOptions } from "../prune.ts";

/** Bytes, or a share of the disk that the cache is on, from 0 to 1. */
export type Space = { bytes: number } | { share: number };
export interface GcRule {
  filters: Filters;
  /** Only what was not used for so long. */
  keepMs: number;
  /** Also what images share. */
  all: boolean;
  reserved: Space;
  maxUsed: Space;
  minFree: Space;
}
export interface GcOptions {
  enabled: boolean;
  reserved: Space;
  maxUsed: Space;
  minFree: Space;
  /** Instead of the rules that the sizes above make. */
  policy?: readonly GcRule[];
}
/** `builder` of daemon.json. */
export interface BuilderOptions {
  gc: GcOptions;
  /** What builds may ask for; all where it is absent. */
  entitlements?: readonly string[];
  /** Of one cache mount; the least recently used are emptied down to it when no step has them. */
  cacheMountBytesMax?: number;
}

const MS_PER_DAY = 24 * 3600 * 1000;
const NOTHING: Space = { bytes: 0 };
/** Contexts can be sent again: they go first. */
const CONTEXT_BYTES_MAX = 512_000_000;
const CONTEXT_DAYS = 2;

export const gcDefaults: GcOptions = {
  enabled: true,
  reserved: { share: 0.1 },
  maxUsed: { share: 0.75 },
  minFree: { share: 0.2 },
};

/** As BuildKit's, but that cache mounts are no temporary files: they go with the rest. */
export function gcRules({ reserved, maxUsed, minFree, policy }: GcOptions): readonly GcRule[] {
  if (policy) return policy;
  const contexts = new Map([["type", ["source.local", "source.git.checkout"]]]);
  const limits = { reserved, maxUsed, minFree };
  return [
    {
      ...{ filters: contexts, keepMs: CONTEXT_DAYS * MS_PER_DAY, all: true },
      ...{ reserved: NOTHING, maxUsed: { bytes: CONTEXT_BYTES_MAX }, minFree: NOTHING },
    },
    { filters: new Map(), keepMs: 0, all: false, ...limits },
    { filters: new Map(), keepMs: 0, all: true, ...limits },
  ];
}

/** The rule for a disk of that size. */
export function pruneOptionsOf(rule: GcRule, diskBytes: number): CachePruneOptions {
  const bytes = (space: Space) =>
    "bytes" in space ? space.bytes : Math.floor(diskBytes * space.share);
  return {
    ...{ filters: rule.filters, all: rule.all },
    ...(rule.keepMs > 0 && { keepMs: rule.keepMs }),
    reservedBytes: bytes(rule.reserved),
    maxUsedBytes: bytes(rule.maxUsed),
    minFreeBytes: bytes(rule.minFree),
  };
}
