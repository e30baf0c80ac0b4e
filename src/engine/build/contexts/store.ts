// What is kept of contexts between builds: the folders of clients and checked out repositories,
// each a folder beneath the data root with one record. Bounded; the least recently used go first,
// never those that a build uses.

import { mkdir, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { KeyedMutex } from "../../../base/index.ts";
import { digestOf, hexOf } from "../../../spec/index.ts";
import type { Collection } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import { removeTree } from "../remove-tree.ts";
import { KeptContext } from "./kept-context.ts";

/** For `system df`: a synced folder or a fetched context. */
export interface ContextEntry {
  key: string;
  type: ContextType;
  description: string;
  size: number;
  inUse: boolean;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
}
export type ContextType = "source.local" | "source.git.checkout" | "source.http";

interface ContextFacts {
  type: ContextType;
  description: string;
  size: number;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
}

/** Of the disk that they are on. */
const DISK_SHARE = 1 / 20;
/** How many indexes stay in memory while nobody uses them. */
const LOADED_MAX = 4;
/** Then they go too: a large folder's is tens of megabytes, and read again in 0.2 seconds. */
const IDLE_MS = 5 * 60 * 1000;
const KEY_DIGITS = 40;

export interface TakenFolder {
  dir: string;
  /** One build at a time. */
  exclusive<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Tells how large it is by now, where that is known. */
  release(bytes?: number): Promise<void>;
}

export class ContextStore {
  readonly #engine: EngineContext;
  readonly #root: string;
  readonly #facts: Collection<ContextFacts>;
  readonly #users = new Map<string, number>();
  readonly #mutex = new KeyedMutex();
  /** Of clients' folders; the least recently used first. */
  readonly #loaded = new Map<string, Promise<KeptContext>>();
  #idle: NodeJS.Timeout | undefined;

  constructor(engine: EngineContext) {
    this.#engine = engine;
    this.#root = contextsFolder(engine);
    this.#facts = engine.storage.records.collection<ContextFacts>("build-contexts");
  }

  /** A client's folder; `identity` is the same for the same folder. */
  async takeKept(
    identity: readonly string[],
    description: string,
  ): Promise<{ kept: KeptContext; release: () => Promise<void> }> {
    const key = keyOf("source.local", identity);
    this.#begin(key, "source.local", description);
    try {
      const kept = await this.#load(key);
      const release = async () => {
        await kept.save();
        await this.#end(key, kept.bytes);
      };
      return { kept, release };
    } catch (error) {
      await this.#end(key, 0);
      throw error;
    }
  }

  /** A folder of ours for what was fetched. */
  async takeFolder(
    type: ContextType,
    identity: readonly string[],
    description: string,
  ): Promise<TakenFolder> {
    const key = keyOf(type, identity);
    this.#begin(key, type, description);
    const dir = join(this.#root, key);
    try {
      await this.#mutex.run(key, () => mkdir(dir, { recursive: true, mode: 0o700 }));
    } catch (error) {
      await this.#end(key, 0); // a full disk, say: nobody uses it
      throw error;
    }
    return {
      dir,
      exclusive: (signal, work) => this.#mutex.run(key, work, { signal }),
      release: (bytes) => this.#end(key, bytes),
    };
  }

  #load(key: string): Promise<KeptContext> {
    return this.#mutex.run(key, () => this.#open(key));
  }

  async #open(key: string): Promise<KeptContext> {
    let loading = this.#loaded.get(key);
    this.#loaded.delete(key);
    loading ??= KeptContext.open(join(this.#root, key), this.#engine.log);
    this.#loaded.set(key, loading);
    loading.catch(() => this.#loaded.delete(key));
    return await loading;
  }

  #begin(key: string, type: ContextType, description: string): void {
    const now = Date.now();
    const known = this.#facts.get(key);
    this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    this.#remember(key, {
      ...{ type, description, size: known?.size ?? 0 },
      ...{ createdAtMs: known?.createdAtMs ?? now, lastUsedAtMs: now },
      usageCount: (known?.usageCount ?? 0) + 1,
    });
  }

  async #end(key: string, size?: number): Promise<void> {
    const left = this.#users.get(key)! - 1;
    if (left > 0) this.#users.set(key, left);
    else this.#users.delete(key);
    const known = this.#facts.get(key);
    if (known && size !== undefined) this.#remember(key, { ...known, size });
    await this.#collect();
    await this.#unload(LOADED_MAX);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#unload(0), IDLE_MS).unref();
  }

  /** A full disk costs the record, not the build. */
  #remember(key: string, facts: ContextFacts): void {
    try {
      this.#facts.put(key, facts);
    } catch {
      // The folder goes at the next start.
    }
  }

  async #unload(keep: number): Promise<void> {
    const idle = [...this.#loaded].filter(([key]) => !this.#users.has(key));
    for (const [key] of idle.slice(0, Math.max(0, idle.length - keep))) {
      await this.#mutex.run(key, async () => {
        if (!this.#users.has(key)) await this.#forget(key);
      });
    }
  }

  async #forget(key: string): Promise<void> {
    const loading = this.#loaded.get(key);
    this.#loaded.delete(key);
    await loading?.then((kept) => kept.close()).catch(() => {});
  }

  async #collect(): Promise<void> {
    const disk = await statfs(this.#root);
    const bytesMax = disk.blocks * disk.bsize * DISK_SHARE;
    const entries = (await this.list()).sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
    let bytes = entries.reduce((sum, { size }) => sum + size, 0);
    for (const { key, inUse } of entries) {
      if (bytes <= bytesMax) return;
      if (!inUse) bytes -= await this.remove(key);
    }
  }

  async list(): Promise<ContextEntry[]> {
    return this.#facts.all().map(([key, facts]) => ({
      ...{ ...facts, key },
      inUse: this.#users.has(key),
    }));
  }

  /** Does nothing to what a build uses. Returns the bytes that came free. */
  remove(key: string): Promise<number> {
    return this.#mutex.run(key, async () => {
      const facts = this.#facts.get(key);
      if (this.#users.has(key) || facts === undefined) return 0;
      await this.#forget(key);
      await removeEntry(this.#engine, join(this.#root, key));
      // Whoever came meanwhile waits, and begins with nothing.
      if (!this.#users.has(key)) this.#facts.delete(key);
      return facts.size;
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const loaded = [...this.#loaded.values()];
    this.#loaded.clear();
    await Promise.allSettled(loaded.map(async (loading) => (await loading).close()));
  }

  /** What no record speaks of goes, and records of what is gone. */
  async reconcile(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const names = new Set(await readdir(this.#root));
    for (const [key] of this.#facts.all()) {
      if (!names.delete(key)) this.#facts.delete(key);
    }
    for (const name of names) await removeEntry(this.#engine, join(this.#root, name));
  }
}

const contextsFolder = (engine: Pick<EngineContext, "options">): string =>
  join(engine.options.dataRoot, "build-contexts");

function keyOf(type: ContextType, identity: readonly string[]): string {
  return hexOf(digestOf(JSON.stringify([type, ...identity]))).slice(0, KEY_DIGITS);
}

async function removeEntry(engine: EngineContext, path: string): Promise<void> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isDirectory()) return await rm(path, { force: true });
  await removeTree(engine, path);
}

/** What an earlier engine left half done is removed. */
export async function openContextStore(engine: EngineContext): Promise<ContextStore> {
  const store = new ContextStore(engine);
  await store.reconcile();
  return store;
}
