// Garbage collection by the clock, in the server itself. Several processes over one store may each
// have a schedule: whoever comes second finds the first at work and waits for his next turn.

import { kindOf, type Logger } from "../base/index.ts";
import type { ObjectStore } from "./contract.ts";
import { collectGarbage, type GarbageOptions } from "./garbage.ts";

export interface ScheduleOptions extends Omit<GarbageOptions, "logger" | "signal" | "dryRun"> {
  everyMs: number;
}

/** Returns what ends it: no run begins any more, and the present one stops at its next step. */
export function scheduleCollections(
  store: ObjectStore,
  options: ScheduleOptions,
  logger: Logger,
): () => Promise<void> {
  const ending = new AbortController();
  let running: Promise<void> | undefined;
  async function collect(): Promise<void> {
    try {
      const report = await collectGarbage(store, { ...options, logger, signal: ending.signal });
      const { quarantined, removed, restored, uploadsExpired } = report;
      logger.info("Garbage collected", { quarantined, removed, restored, uploadsExpired });
    } catch (error) {
      if (ending.signal.aborted || kindOf(error) === "conflict") return;
      logger.error("Garbage collection failed", { error });
    }
  }
  const timer = setInterval(() => {
    running ??= collect().finally(() => {
      running = undefined;
    });
  }, options.everyMs).unref();
  return async () => {
    clearInterval(timer);
    ending.abort();
    await running;
  };
}
