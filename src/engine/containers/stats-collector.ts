// One sampler a container, however many clients look: every second all containers that somebody
// watches are read together, against the same moment of the host. A client that is slow misses
// samples, it never holds anything up; without clients nothing is read.

import { setImmediate } from "node:timers/promises";
import type { EngineContext } from "../context.ts";
import type { ContainerSampler } from "../runtime-plans.ts";
import { NEVER, timestamp } from "../timestamps.ts";
import type { ContainerRecord, RunFacts } from "./record.ts";
import { renderStats, type Sample, type StatsDocument } from "./stats-document.ts";

const INTERVAL_MS = 1000;
/** A first sample that is younger at the next tick is no measure of CPU time yet. */
const FIRST_SAMPLE_AGE_MIN_MS = 250;

interface Watched {
  c: ContainerRecord;
  watchers: Set<Watcher>;
  /** Of this run: another run has other cgroups. */
  run?: RunFacts;
  sampler?: ContainerSampler;
  before?: { sample: Sample; at: string; clockMs: number };
  latest?: StatsDocument;
}

/** What one client waits for: the latest document that it has not had. */
interface Watcher {
  document?: StatsDocument;
  ended: boolean;
  wake(): void;
}

export class StatsCollector {
  #engine: EngineContext;
  #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #ticking = false;

  constructor(engine: EngineContext) {
    this.#engine = engine;
  }

  /** Documents until the container is removed or the signal aborts; the first one at once. */
  async *watch(c: ContainerRecord, signal?: AbortSignal): AsyncGenerator<StatsDocument> {
    const watched = this.#watched.get(c.id) ?? this.#begin(c);
    let woken = Promise.withResolvers<void>();
    const watcher: Watcher = { ended: false, wake: () => woken.resolve() };
    if (watched.latest) watcher.document = watched.latest;
    watched.watchers.add(watcher);
    const abort = (): void => {
      watcher.ended = true;
      watcher.wake();
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      while (!watcher.ended) {
        const { document } = watcher;
        delete watcher.document;
        if (document) yield document;
        else {
          await woken.promise;
          woken = Promise.withResolvers<void>();
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      watched.watchers.delete(watcher);
      if (watched.watchers.size === 0) this.#end(watched);
    }
  }

  #begin(c: ContainerRecord): Watched {
    const watched: Watched = { c, watchers: new Set() };
    this.#watched.set(c.id, watched);
    void this.#first(watched);
    this.#schedule(INTERVAL_MS);
    return watched;
  }

  async #first(watched: Watched): Promise<void> {
    await this.#sample(watched, await this.#engine.runtime.readHostSample());
  }

  #end(watched: Watched): void {
    if (this.#watched.get(watched.c.id) === watched) this.#watched.delete(watched.c.id);
    void watched.sampler?.close();
    delete watched.sampler;
    if (this.#watched.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    if (this.#ticking || this.#watched.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#tick();
    }, delayMs);
  }

  async #tick(): Promise<void> {
    const startedMs = performance.now();
    this.#ticking = true;
    const host = await this.#engine.runtime.readHostSample();
    for (const watched of [...this.#watched.values()]) {
      const age = startedMs - (watched.before?.clockMs ?? 0);
      if (age < FIRST_SAMPLE_AGE_MIN_MS) continue;
      await this.#sample(watched, host);
      // Whoever else waits for this process has a turn.
      await setImmediate();
    }
    this.#ticking = false;
    this.#schedule(Math.max(0, startedMs + INTERVAL_MS - performance.now()));
  }

  async #sample(watched: Watched, host: string): Promise<void> {
    const { c } = watched;
    if (!this.#engine.containers.get(c.id)) {
      for (const watcher of watched.watchers) {
        watcher.ended = true;
        watcher.wake();
      }
      return;
    }
    if (watched.run !== c.run) await this.#follow(watched);
    const sample = (await watched.sampler?.read(host).catch(() => undefined)) ?? {};
    const at = watched.sampler ? timestamp() : NEVER;
    const { before } = watched;
    watched.latest = renderStats(c, sample, { at, before });
    watched.before = { sample, at, clockMs: performance.now() };
    for (const watcher of watched.watchers) {
      watcher.document = watched.latest;
      watcher.wake();
    }
  }

  /** The container has started or ended since the last sample. */
  async #follow(watched: Watched): Promise<void> {
    const { run } = watched.c;
    await watched.sampler?.close();
    delete watched.sampler;
    delete watched.before;
    if (watched.watchers.size === 0) return;
    if (run) {
      watched.run = run;
      watched.sampler = this.#engine.runtime.openStats(run.cgroupPaths, run.pid);
    } else {
      delete watched.run;
    }
  }
}

const collectors = new WeakMap<EngineContext, StatsCollector>();

/** The collector of this engine. */
export function statsCollector(engine: EngineContext): StatsCollector {
  let collector = collectors.get(engine);
  if (!collector) {
    collector = new StatsCollector(engine);
    collectors.set(engine, collector);
  }
  return collector;
}
