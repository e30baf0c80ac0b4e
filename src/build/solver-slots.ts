// How many steps run at once. Steps are admitted in the order of the file, and the first unfinished
// one is always admitted: whoever shows output in that order may hold back a later step without
// ever holding up what it waits for.

import { GantryError } from "../base/index.ts";

interface Waiter {
  index: number;
  admit: () => void;
}

export class StepSlots {
  readonly #max: number;
  /** Steps that are not done, by index. */
  readonly #open: Set<number>;
  readonly #running = new Set<number>();
  #waiters: Waiter[] = [];

  /** `indices`: every step that will ask. */
  constructor(max: number, indices: Iterable<number>) {
    this.#max = max;
    this.#open = new Set(indices);
  }

  /** Resolves when the step may run; `finish` must follow. Rejects when the signal is aborted. */
  async enter(index: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#mayRun(index)) {
      this.#running.add(index);
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { index, admit: resolve };
    this.#waiters.push(waiter);
    const leave = () => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      reject(signal.reason ?? new GantryError("cancelled", "context canceled"));
    };
    signal.addEventListener("abort", leave, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  /** The step is done, whether it ran or not. */
  finish(index: number): void {
    this.#running.delete(index);
    this.#open.delete(index);
    const ready = this.#waiters.sort((a, b) => a.index - b.index);
    for (const waiter of [...ready]) {
      if (!this.#mayRun(waiter.index)) continue;
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      this.#running.add(waiter.index);
      waiter.admit();
    }
  }

  #mayRun(index: number): boolean {
    if (this.#running.size < this.#max) return true;
    for (const open of this.#open) if (open < index) return false;
    return true;
  }
}
