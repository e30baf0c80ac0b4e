// The cache of one build: the local store, then what the job imports. The imported ones are read
// side by side while the build begins, and awaited by the first step that is not found here. None
// of them can break a build: what is wrong with one is a warning, and its steps run.

import { messageOf } from "../../../base/index.ts";
import type { BuildCache, CacheRecord } from "../../../build/index.ts";
import { type Descriptor, decompress } from "../../../storage/index.ts";
import type { CachedStep } from "./cache-config.ts";
import { type CacheSource, cacheSources } from "./cache-places.ts";
import { type OfferedCache, readCache } from "./cache-reader.ts";
import type { CacheImportPlace, CacheJob, CacheOptions } from "./index.ts";

const SHORT_ID = 12;

export class ImportedCaches implements BuildCache, AsyncDisposable {
  readonly #place: CacheImportPlace;
  readonly #local: BuildCache & { release(): void };
  readonly #options: CacheOptions;
  readonly #offered: Promise<Offer[]>;
  readonly #fetches = new Map<string, Promise<boolean>>();
  /** Nobody waits for a cache that no step has asked for. */
  readonly #unwanted = new AbortController();

  constructor(place: CacheImportPlace, job: CacheJob, options: CacheOptions) {
    this.#place = place;
    this.#options = options;
    const sources = cacheSources(job);
    this.#local = place.cache.forBuild(options.lease);
    this.#offered = Promise.all(sources.map((source) => this.#read(job, source))).then((read) =>
      read.filter((offer) => offer !== undefined),
    );
  }

  async #read(job: CacheJob, source: CacheSource): Promise<Offer | undefined> {
    const { reporter, signal: outer } = this.#options;
    const signal = AbortSignal.any([outer, this.#unwanted.signal]);
    const name = `importing cache manifest from ${source.name}`;
    return await reporter
      .step(name, async (vertex) => {
        try {
          return offerOf(await readCache(this.#place, job, source, { signal }));
        } catch (error) {
          outer.throwIfAborted();
          if (signal.aborted) return undefined;
          const short = `cache of ${source.name} is not used: ${messageOf(error)}`;
          vertex.log(`${short}\n`);
          const { digest } = vertex;
          reporter.tell({
            kind: "warning",
            warning: { vertex: digest, level: 1, short, detail: [], url: "" },
          });
          return undefined;
        }
      })
      .catch(() => undefined); // aborted: the steps say so
  }

  find(key: string): CacheRecord | undefined | Promise<CacheRecord | undefined> {
    return this.#local.find(key) ?? this.#findImported(key);
  }

  async #findImported(key: string): Promise<CacheRecord | undefined> {
    for (const { cache, steps } of await this.#offered) {
      const step = steps.get(key);
      if (step === undefined || !(await this.#has(cache, step.layer))) continue;
      const { layer, description, createdAtMs, inputs } = step;
      const record = { layer, description, createdAtMs, inputs };
      this.#local.put(key, record);
      return record;
    }
    return undefined;
  }

  /** Whether the layer is here in the end. */
  async #has(cache: OfferedCache, diffId: string | undefined): Promise<boolean> {
    if (diffId === undefined) return true;
    this.#options.lease.add(diffId);
    if (this.#place.engine.storage.layers.get(diffId)) return true;
    const offers = cache.layers.filter((layer) => layer.diffId === diffId);
    for (const { blob } of offers) {
      const key = `${diffId} ${blob.digest}`;
      const fetch = this.#fetches.get(key) ?? this.#fetch(cache, diffId, blob);
      this.#fetches.set(key, fetch);
      if (await fetch) return true;
    }
    return false;
  }

  async #fetch(cache: OfferedCache, diffId: string, blob: Descriptor): Promise<boolean> {
    const { reporter, signal, lease } = this.#options;
    const { layers } = this.#place.engine.storage;
    const short = diffId.slice("sha256:".length).slice(0, SHORT_ID);
    return await reporter.step(`importing cache layer ${short}`, async (vertex) => {
      try {
        const bytes = await cache.open(blob, { signal });
        let current = 0;
        bytes.on("data", (chunk: Uint8Array) => {
          current += chunk.length;
          vertex.status(blob.digest, { current, total: blob.size });
        });
        bytes.pause();
        const { stream } = await decompress(bytes);
        await layers.apply(stream, { diffId, lease, signal });
        vertex.status(blob.digest, { current, total: blob.size, done: true });
        return true;
      } catch (error) {
        signal.throwIfAborted();
        const text = `layer ${short} of ${cache.name} is not used: ${messageOf(error)}`;
        vertex.log(`${text}\n`);
        const warning = { vertex: vertex.digest, level: 1, short: text, detail: [], url: "" };
        reporter.tell({ kind: "warning", warning });
        return false;
      }
    });
  }

  put(key: string, record: CacheRecord): void {
    this.#local.put(key, record);
  }

  exclusive<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#local.exclusive(key, signal, work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unwanted.abort();
    await this.#offered;
    await Promise.allSettled(this.#fetches.values());
    this.#local.release();
  }
}

interface Offer {
  cache: OfferedCache;
  steps: ReadonlyMap<string, CachedStep>;
}

function offerOf(cache: OfferedCache): Offer {
  return { cache, steps: new Map(cache.steps.map((step) => [step.key, step])) };
}
