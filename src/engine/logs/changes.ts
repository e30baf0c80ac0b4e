// Wakes a follower of a log: by inotify when the log's folder changes, when the container stops,
// when the follower's own bound (`until`) or its caller's patience is over.

import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { LogOptions } from "../contract.ts";

const TIMER_MS_MAX = 2 ** 31 - 1;

export interface LogBounds extends Pick<LogOptions, "signal" | "until"> {
  /** Resolves when all that the monitor has read by now is in the log: a line of before `until` may
   * be written a moment after it. */
  settle?: () => Promise<unknown>;
}

export class LogChanges implements Disposable {
  /** No line will be written that is not there already. */
  ended = false;
  #watcher: FSWatcher;
  #dirty = false;
  #wake: (() => void) | undefined;
  #forget: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, o: LogBounds) {
    this.#watcher = watch(dirname(path), { persistent: false }, () => this.#changed());
    this.#watcher.on("error", () => this.#end());
    if (o.signal?.aborted) this.#end();
    else o.signal?.addEventListener("abort", () => this.#end(), { once: true });
    if (o.until !== undefined) this.#endAt(timeMs(o.until), o.settle);
  }

  /** Ends with the next call of the listener that `register` is given. */
  endWith(register: (listener: () => void) => () => void): void {
    this.#forget = register(() => this.#end());
  }

  /** Resolves when something has changed since the last call, or has ended. */
  async next(): Promise<void> {
    if (!this.#dirty && !this.ended) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#dirty = false;
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    this.#forget?.();
    clearTimeout(this.#timer);
  }

  #endAt(atMs: number, settle: LogBounds["settle"]): void {
    const leftMs = atMs - Date.now();
    if (leftMs <= 0) {
      void Promise.resolve(settle?.())
        .catch(() => {})
        .then(() => this.#end());
      return;
    }
    // A timer may be a little early, and reaches no further than weeks.
    const delayMs = Math.min(leftMs, TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.#endAt(atMs, settle), delayMs);
  }

  #changed(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  #end(): void {
    this.ended = true;
    this.#changed();
  }
}

/** The millisecond in which it has passed. */
const timeMs = (at: NonNullable<LogOptions["until"]>): number =>
  at instanceof Date ? at.getTime() : at.seconds * 1000 + Math.ceil(at.nanoseconds / 1e6);
