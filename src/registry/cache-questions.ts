// Questions to upstreams that several clients ask at once are asked once. An answer has a deadline,
// not a client: it goes on when one of those who wait leaves.

/** Without a copy to fall back on, a registry gets so long to answer. */
export const answerTimeoutMs = 60_000;

export class Questions {
  #underWay = new Map<string, Promise<unknown>>();
  #closing = new AbortController();

  ask<T>(key: string, timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const known = this.#underWay.get(key);
    if (known !== undefined) return known as Promise<T>;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
    const answer = work(signal).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answer);
    return answer;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay.values());
  }
}
