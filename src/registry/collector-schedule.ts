// The collector beside a registry that serves, by the clock. Several processes over one store may
// each have a schedule: whoever comes second finds the first at work and waits for its next turn. A
// run that fails is tried again the next time; stopping ends it soon.

import { kindOf, type Logger, TIMER_MS_MAX } from "../base/index.ts";
import type { ObjectStore } from "./contract.ts";
import { collectGarbage, type GarbageOptions } from "./garbage.ts";
import type { Metrics } from "./observe/index.ts";

/** Processes that were started together do not begin together. */
const JITTER = 0.1;

export interface ScheduleOptions extends Omit<GarbageOptions, "logger" | "signal" | "dryRun"> {
  /** From the end of one run to the next; 0: never. */
  everyMs: number;
}

export interface ScheduleParts {
  logger: Logger;
  metrics?: Metrics;
  /** Makes garbage of what is not wanted any more, first. */
  before?: { expire(): Promise<number> };
}

/** Returns what ends it: no run begins any more, and the present one stops at its next step. */
export function scheduleCollector(
  store: ObjectStore,
  { everyMs, ...options }: ScheduleOptions,
  { logger, metrics, before }: ScheduleParts,
): () => Promise<void> {
  const stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const run = () => (running = collect().finally(wait));
  function wait(): void {
    if (everyMs > 0) waitFor(everyMs * (1 + Math.random() * JITTER));
  }
  function waitFor(ms: number): void {
    if (stop.signal.aborted) return;
    const next = ms > TIMER_MS_MAX ? () => waitFor(ms - TIMER_MS_MAX) : run;
    timer = setTimeout(next, Math.min(ms, TIMER_MS_MAX));
    timer.unref();
  }

  async function collect(): Promise<void> {
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    try {
      await before?.expire();
      const report = await collectGarbage(store, { ...options, logger, signal: stop.signal });
      const { quarantined, removed, restored, uploadsExpired } = report;
      metrics?.collected({ blobs: removed.objects, bytes: removed.bytes, seconds: seconds() });
      logger.info("Collected garbage", { quarantined, removed, restored, uploadsExpired });
    } catch (error) {
      if (stop.signal.aborted || kindOf(error) === "conflict") return; // another process does it
      metrics?.collected({ blobs: 0, bytes: 0, seconds: seconds(), failed: true });
      logger.error("Failed to collect garbage", { error });
    }
  }

  wait();
  return async () => {
    clearTimeout(timer);
    stop.abort();
    await running;
  };
}
