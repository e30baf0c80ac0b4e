// Holds of digests while something is in flight (a load, a pull, a save, a commit). They live in
// memory: a crash ends every transfer, and boot collects what it left. Whoever lets go has what it
// held looked at, so that nothing stays that a failed or overtaken transfer has left behind.

import type { Lease } from "./contract.ts";

/** Deletes those of the digests that nothing needs; never rejects. */
type Collect = (digests: readonly string[]) => Promise<void>;

export class Leases {
  #held = new Set<Set<string>>();
  #collecting = new Set<Promise<void>>();
  #collect: Collect;
  #closed = false;

  constructor(collect: Collect) {
    this.#collect = collect;
  }

  take(digests: readonly string[]): Lease {
    const held = new Set(digests);
    this.#held.add(held);
    return {
      add: (digest) => void held.add(digest),
      release: async () => {
        if (!this.#held.delete(held) || this.#closed || held.size === 0) return;
        const work = this.#collect([...held]);
        this.#collecting.add(work);
        await work.finally(() => this.#collecting.delete(work));
      },
    };
  }

  *digests(): Iterable<string> {
    for (const digests of this.#held) yield* digests;
  }

  /** Resolves when nothing is being collected; later releases collect nothing. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#collecting.size > 0) await Promise.all(this.#collecting);
  }
}
