// The door to the engine as a whole.

import type { CgroupTree } from "./cgroups.ts";
import type { Signal } from "./shared-nouns.ts";

export interface SystemInfo {
  [field: string]: unknown;
}
export interface System {
  info(): Promise<SystemInfo>;
  version(): Promise<Record<string, unknown>>;
  /** Every cgroup of ours, now; with `processes` also who is in each. */
  cgroups(o?: { processes?: boolean }): Promise<CgroupTree>;
  df(o?: Signal & { types?: string[] }): Promise<Record<string, unknown>>;
}
