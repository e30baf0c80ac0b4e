// The door to the engine as a whole.

import type { Signal } from "./shared-nouns.ts";

export interface SystemInfo {
  [field: string]: unknown;
}
export interface System {
  info(): Promise<SystemInfo>;
  version(): Promise<Record<string, unknown>>;
  df(o?: Signal & { types?: string[] }): Promise<Record<string, unknown>>;
}
