// Serialises work per key (a container id, a name) without a global lock: operations on different
// keys never wait for one another, and an idle key costs nothing.

export class KeyedMutex {
  #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` after every earlier holder of `key` has finished; returns its result. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#tails.get(key) ?? Promise.resolve();
    const current = previous.then(work, work);
    const tail = current.catch(() => {});
    this.#tails.set(key, tail);
    try {
      return await current;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  /** Resolves when no work is running or queued. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }
}
