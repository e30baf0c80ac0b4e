// Lets a limited number of transfers run at once; the others wait their turn, first come first
// served, and may give up.

export class Gate {
  #limit: number;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  /** A lower limit counts as soon as enough have ended. */
  set limit(limit: number) {
    this.#limit = Math.max(1, limit);
    this.#admit();
  }

  #admit(): void {
    while (this.#running < this.#limit && this.#waiting.length > 0) {
      this.#running++;
      this.#waiting.shift()!();
    }
  }

  /** Whether whoever comes now has to wait. */
  get full(): boolean {
    return this.#running >= this.#limit;
  }

  /** Runs `work` when there is room; rejects with the signal's reason if that comes first. */
  async run<T>(
    work: () => Promise<T>,
    signal?: AbortSignal,
    { onWait }: { onWait?: () => void } = {},
  ): Promise<T> {
    if (this.#running >= this.#limit) onWait?.();
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      this.#running--;
      this.#admit();
    }
  }

  async #enter(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#running < this.#limit) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason);
      };
      this.#waiting.push(enter);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }
}
