// Wakes a follower of a log: by inotify when the log's folder changes, when the container stops,
// when the follower's own bound (`until`) or its caller's patience is over.

import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { LogOptions } from "../contract.ts";

const TIMER_MS_MAX = 2 ** 31 - 1;

export class LogChanges implements Disposable {
  /** No line will be written that is not there already. */
  ended = false;
  #watcher: FSWatcher;
  #dirty = false;
  #wake: (() => void) | undefined;
  #forget: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, o: Pick<LogOptions, "signal" | "until">) {
    this.#watcher = watch(dirname(path), { persistent: false }, () => this.#changed());
    this.#watcher.on("error", () => this.#end());
    if (o.signal?.aborted) this.#end();
    else o.signal?.addEventListener("abort", () => this.#end(), { once: true });
    if (o.until !== undefined) {
      const at = o.until instanceof Date ? o.until.getTime() : o.until.seconds * 1000;
      this.#timer = setTimeout(
        () => this.#end(),
        Math.min(Math.max(0, at - Date.now()), TIMER_MS_MAX),
      );
    }
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

  #changed(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  #end(): void {
    this.ended = true;
    this.#changed();
  }
}
