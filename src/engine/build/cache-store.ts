// The build cache on disk: one record an operation, by its key, in SQLite; a record keeps the layer
// that its operation made, so that collecting garbage does not take it. What an image of the user's
// holds too is shared: forgetting it frees nothing.

import { GantryError, KeyedMutex } from "../../base/index.ts";
import type { BuildCache, CacheRecord } from "../../build/index.ts";
import type { Collection, Lease, Storage } from "../../storage/index.ts";

/** A document of the collection "build-cache", by key. */
export interface StoredRecord {
  layer?: string;
  description: string;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
  /** Keys of the operations that it stands on. */
  inputs?: readonly string[];
}
export interface CacheEntry extends StoredRecord {
  id: string;
  key: string;
  /** Bytes of its layer. */
  size: number;
  inUse: boolean;
  shared: boolean;
}

/** Digits of the key that name a record, as many as docker's. */
const ID_DIGITS = 25;

export class CacheStore {
  readonly #records: Collection<StoredRecord>;
  readonly #storage: Storage;
  readonly #known = new Map<string, StoredRecord>();
  readonly #leases = new Map<string, Lease>();
  readonly #mutex = new KeyedMutex();
  /** Keys that running builds have used; a key once a build. */
  readonly #inUse = new Map<symbol, Set<string>>();

  /** Takes up the records whose layers are there; to be opened before garbage is collected. */
  constructor(storage: Storage) {
    this.#storage = storage;
    this.#records = storage.records.collection<StoredRecord>("build-cache");
    for (const [key, record] of this.#records.all()) {
      if (record.layer !== undefined && !storage.layers.get(record.layer)) {
        this.#records.delete(key);
        continue;
      }
      this.#hold(key, record);
    }
  }

  #hold(key: string, record: StoredRecord): void {
    this.#known.set(key, record);
    if (record.layer !== undefined) this.#leases.set(key, this.#storage.lease([record.layer]));
  }

  /** The cache as one build sees it. What it finds stays until `release`, also if it is pruned. */
  forBuild(lease: Lease): BuildCache & { release(): void } {
    const build = Symbol("build");
    const used = new Set<string>();
    this.#inUse.set(build, used);
    return {
      find: (key) => this.#find(key, used, lease),
      put: (key, record) => this.#put(key, record, used),
      exclusive: (key, signal, work) => this.#mutex.run(key, work, { signal }),
      release: () => void this.#inUse.delete(build),
    };
  }

  #find(key: string, used: Set<string>, lease: Lease): CacheRecord | undefined {
    const record = this.#known.get(key);
    if (record === undefined) return undefined;
    const { layer } = record;
    if (layer !== undefined && !this.#storage.layers.get(layer)) {
      void this.#forget(key); // damaged, and taken out of the store
      return undefined;
    }
    if (layer !== undefined) lease.add(layer);
    used.add(key);
    record.lastUsedAtMs = Date.now();
    record.usageCount++;
    this.#remember(key, record);
    const { description, createdAtMs, inputs = [] } = record;
    return { layer, description, createdAtMs, inputs };
  }

  #put(key: string, made: CacheRecord, used: Set<string>): void {
    const { layer, description, createdAtMs, inputs = [] } = made;
    const before = this.#leases.get(key);
    const record: StoredRecord = {
      ...(layer !== undefined && { layer }),
      ...(inputs.length > 0 && { inputs }),
      ...{ description, createdAtMs, lastUsedAtMs: Date.now(), usageCount: 1 },
    };
    used.add(key);
    this.#leases.delete(key);
    this.#hold(key, record);
    this.#remember(key, record);
    void before?.release();
  }

  /** A full disk costs the record, not the build. */
  #remember(key: string, record: StoredRecord): void {
    try {
      this.#records.put(key, record);
    } catch {
      // It is known as long as this process lives.
    }
  }

  /** Keys of what a record stands on. */
  inputsOf(key: string): readonly string[] {
    return this.#known.get(key)?.inputs ?? [];
  }

  list(): CacheEntry[] {
    const shared = new Set(
      this.#storage.images.list().flatMap(({ layers }) => layers.map(({ diffId }) => diffId)),
    );
    const inUse = new Set([...this.#inUse.values()].flatMap((keys) => [...keys]));
    return [...this.#known].map(([key, record]) => ({
      ...record,
      ...{ id: idOf(key), key, inUse: inUse.has(key) },
      size: record.layer ? (this.#storage.layers.get(record.layer)?.size ?? 0) : 0,
      shared: record.layer !== undefined && shared.has(record.layer),
    }));
  }

  /** Returns the bytes that came free. */
  async remove(entries: readonly CacheEntry[]): Promise<number> {
    const before = this.#bytes();
    for (const { key, inUse } of entries) {
      if (inUse) throw new GantryError("conflict", `the cache record ${idOf(key)} is in use`);
      await this.#forget(key);
    }
    return Math.max(0, before - this.#bytes());
  }

  #bytes(): number {
    return this.#storage.layers.list().reduce((sum, { size }) => sum + size, 0);
  }

  async #forget(key: string): Promise<void> {
    this.#records.delete(key);
    this.#known.delete(key);
    const lease = this.#leases.get(key);
    this.#leases.delete(key);
    await lease?.release();
  }
}

const idOf = (key: string): string => key.slice(key.indexOf(":") + 1).slice(0, ID_DIGITS);
