// Whether somebody reads a log as fast as it goes. Compression waits then: it would take the
// processor from the reader, who would have to unpack again what was just packed. It does not wait
// for ever, so that a log that is always read is still compressed.

import { setTimeout as delay } from "node:timers/promises";

export const QUIET_MS = 250;
/** Of one file, in all. */
export const PAUSE_MS_MAX = 20_000;

interface Clock {
  now(): number;
  /** Rejects when it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<unknown>;
}

const CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
};

export class Readers {
  #last = Number.NEGATIVE_INFINITY;
  #clock: Clock;

  constructor(clock = CLOCK) {
    this.#clock = clock;
  }

  /** Something was read. */
  beat(): void {
    this.#last = this.#clock.now();
  }

  /** What resolves once it has been quiet for a moment, or this has taken too long in all. */
  pauses(): (signal: AbortSignal) => Promise<void> {
    let leftMs = PAUSE_MS_MAX;
    return async (signal) => {
      for (;;) {
        const waitMs = Math.min(leftMs, this.#last + QUIET_MS - this.#clock.now());
        if (!(waitMs > 0) || signal.aborted) return;
        leftMs -= waitMs;
        await this.#clock.sleep(waitMs, signal).catch(() => {});
      }
    };
  }
}
