// `sharing=locked`: one step at a time has a cache mount, in the order in which they came. Who is
// aborted while it waits leaves the queue.

export class CacheMountLocks {
  readonly #tails = new Map<string, Promise<void>>();

  /** Resolves to what lets the next one in. */
  async lock(id: string, signal: AbortSignal): Promise<() => void> {
    const before = this.#tails.get(id) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before.then(() => promise);
    this.#tails.set(id, tail);
    const unlock = () => resolve();
    // Not before those in front have let go, too: who gives up waiting holds nothing.
    void tail.then(() => {
      if (this.#tails.get(id) === tail) this.#tails.delete(id);
    });
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => {});
    const stop = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([before, aborted.promise]);
      return unlock;
    } catch (error) {
      unlock();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
