// The door to the engine as a whole.

import type { CgroupTree } from "./cgroups.ts";
import type { Signal } from "./shared-nouns.ts";

export interface SystemInfo {
  [field: string]: unknown;
}
/** What a Prometheus server scrapes. */
export interface Metrics {
  contentType: string;
  text: string;
}
export interface System {
  info(): Promise<SystemInfo>;
  version(): Promise<Record<string, unknown>>;
  /** Every cgroup of ours, now; with `processes` also who is in each. */
  cgroups(o?: { processes?: boolean }): Promise<CgroupTree>;
  /** Of the engine and of every container that runs; collected at most once a second. */
  metrics(): Promise<Metrics>;
  df(o?: Signal & { types?: string[] }): Promise<Record<string, unknown>>;
}
