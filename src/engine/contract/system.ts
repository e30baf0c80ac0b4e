// The door to the engine as a whole.

import type { Advice } from "../../base/index.ts";
import type { CachePruneOptions } from "../build/contract.ts";
import type { CgroupTree } from "./cgroups.ts";
import type { Filters, Signal } from "./shared-nouns.ts";

export interface SystemInfo {
  [field: string]: unknown;
}
/** What a Prometheus server scrapes. */
export interface Metrics {
  contentType: string;
  text: string;
}
export type PruneKind = "container" | "network" | "volume" | "image" | "build-cache";
export interface PruneRequest {
  kinds: readonly PruneKind[];
  /** Images that have names, and all of the build cache, too. */
  all?: boolean;
  filters?: Filters;
  /** What else is asked of the build cache; `all` and `filters` where absent. */
  cache?: CachePruneOptions;
}
/** Something that a prune would remove. */
export interface PruneItem {
  kind: PruneKind;
  id: string;
  name: string;
  /** What its removal frees, with everything before it in the list removed. */
  bytes: number;
}
export interface PrunePlan {
  items: PruneItem[];
  spaceReclaimed: number;
}
export interface System {
  info(): Promise<SystemInfo>;
  version(): Promise<Record<string, unknown>>;
  /** Which of the folders that the engine writes to are full, and what would make room. */
  adviseFullDisk(): Promise<Advice | undefined>;
  /** Every cgroup of ours, now; with `processes` also who is in each. */
  cgroups(o?: { processes?: boolean }): Promise<CgroupTree>;
  /** Of the engine and of every container that runs; collected at most once a second. */
  metrics(): Promise<Metrics>;
  /** What prunes of these kinds would remove, one after the other. Removes nothing. */
  planPrune(o: PruneRequest): Promise<PrunePlan>;
  df(o?: Signal & { types?: string[] }): Promise<Record<string, unknown>>;
}
