// The collector beside a registry that serves: once in a while, when no other process over the same
// store is at it. A run that fails is tried again the next time; stopping ends it soon.

import { kindOf, type Logger } from "../base/index.ts";
import type { CollectOptions } from "./config.ts";
import type { ObjectStore } from "./contract.ts";
import { collectGarbage } from "./garbage.ts";
import type { Metrics } from "./observe/index.ts";

const everyMsDefault = 24 * 3600 * 1000;
/** Processes that were started together do not begin together. */
const JITTER = 0.1;

export interface Schedule {
  /** Ends a run that goes on. */
  close(): Promise<void>;
}

export function scheduleCollector(
  store: ObjectStore,
  options: CollectOptions,
  {
    logger,
    metrics,
    before,
  }: {
    logger: Logger;
    metrics?: Metrics /** Runs first. */;
    before?: { expire(): Promise<number> };
  },
): Schedule {
  const everyMs = options.everyMs ?? everyMsDefault;
  const stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    if (everyMs === 0 || stop.signal.aborted) return;
    timer = setTimeout(
      () => (running = run().finally(wait)),
      everyMs * (1 + Math.random() * JITTER),
    );
    timer.unref();
  };

  async function run(): Promise<void> {
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    try {
      await before?.expire();
      const { removed, quarantined } = await collectGarbage(store, {
        ...(options.graceMs !== undefined && { graceMs: options.graceMs }),
        ...(options.uploadAgeMsMax !== undefined && { uploadAgeMsMax: options.uploadAgeMsMax }),
        removeUntagged: options.untagged ?? false,
        logger,
        signal: stop.signal,
      });
      metrics?.collected({ blobs: removed.objects, bytes: removed.bytes, seconds: seconds() });
      const facts = { removed: removed.objects, bytes: removed.bytes, aside: quarantined.objects };
      logger.info("Collected garbage", facts);
    } catch (error) {
      if (stop.signal.aborted || kindOf(error) === "conflict") return; // another process does it
      metrics?.collected({ blobs: 0, bytes: 0, seconds: seconds(), failed: true });
      logger.error("Failed to collect garbage", { error });
    }
  }

  wait();
  return {
    async close() {
      clearTimeout(timer);
      stop.abort();
      await running;
    },
  };
}
