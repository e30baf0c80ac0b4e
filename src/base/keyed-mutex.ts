// Serialises work per key (a container id, a name) without a global lock: operations on different
// keys never wait for one another, and an idle key costs nothing.

export class KeyedMutex {
  #tails = new Map<string, Promise<unknown>>();
  /** Who is at it since when, and how many wait, by key. */
  #users = new Map<string, { waiting: number; since: number }>();

  /** Runs `work` after every earlier holder of `key` has finished; returns its result. Whoever is
   * aborted while others hold the key waits no longer; work that has begun is never left. */
  run<T>(key: string, work: () => Promise<T>, { signal }: { signal?: AbortSignal } = {}) {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const leave = () => reject(signal?.reason);
    const users = this.#users.get(key) ?? { waiting: 0, since: 0 };
    this.#users.set(key, users);
    users.waiting++;
    const turn = async () => {
      users.waiting--;
      users.since = performance.now();
      signal?.removeEventListener("abort", leave);
      signal?.throwIfAborted();
      return await work();
    };
    const previous = this.#tails.get(key) ?? Promise.resolve();
    const tail = previous
      .then(turn)
      .then(resolve, reject)
      .finally(() => {
        if (this.#tails.get(key) !== tail) return;
        this.#tails.delete(key);
        this.#users.delete(key);
      });
    this.#tails.set(key, tail);
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted) leave();
    return promise;
  }

  /** Keys that somebody holds, for how long, and how many wait for them. */
  held(): { key: string; seconds: number; waiting: number }[] {
    const now = performance.now();
    return [...this.#users].map(([key, { since, waiting }]) => ({
      key,
      seconds: Math.round((now - since) / 100) / 10,
      waiting,
    }));
  }

  /** Resolves when no work is running or queued. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }
}
