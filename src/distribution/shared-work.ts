// Work that several callers want at once is done once: two pulls of one layer share its transfer.
// A caller who gives up leaves; the work ends early only when the last one has left. It belongs to
// none of them, so its signal is its own.

import type { Message, Tell } from "./contract.ts";

type Job = {
  done: Promise<void>;
  stop: AbortController;
  tells: Set<Tell>;
  /** For who comes later: where it stands. */
  last?: Message;
};
export type Work = (tell: Tell, signal: AbortSignal) => Promise<void>;

export class SharedWork {
  #jobs = new Map<string, Job>();

  /** Resolves when `work`, of this or of an earlier caller, is done. When another's work fails,
   * one's own is tried: that one may have asked elsewhere, or with other rights. */
  async run(key: string, { tell, signal }: { tell: Tell; signal: AbortSignal }, work: Work) {
    for (;;) {
      signal.throwIfAborted();
      const running = this.#jobs.get(key);
      if (running?.stop.signal.aborted) {
        await running.done.catch(() => {});
        continue;
      }
      const job = running ?? this.#start(key, work);
      try {
        return await this.#follow(job, tell, signal);
      } catch (error) {
        if (running === undefined || signal.aborted) throw error;
      }
    }
  }

  #start(key: string, work: Work): Job {
    const stop = new AbortController();
    const tells = new Set<Tell>();
    const job: Job = { stop, tells, done: Promise.resolve() };
    const tellAll = (message: Message): void => {
      job.last = message;
      for (const tell of tells) tell(message);
    };
    job.done = Promise.resolve()
      .then(() => work(tellAll, stop.signal))
      .finally(() => this.#jobs.delete(key));
    job.done.catch(() => {});
    this.#jobs.set(key, job);
    return job;
  }

  async #follow(job: Job, tell: Tell, signal: AbortSignal): Promise<void> {
    const gone = Promise.withResolvers<never>();
    const leave = (): void => {
      job.tells.delete(mine);
      // The last one waits for the end, so that nothing goes on behind its back.
      if (job.tells.size === 0) job.stop.abort(signal.reason);
      else gone.reject(signal.reason);
    };
    const mine: Tell = (message) => tell(message);
    job.tells.add(mine);
    if (job.last) tell(job.last);
    signal.addEventListener("abort", leave, { once: true });
    try {
      await Promise.race([job.done, gone.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      job.tells.delete(mine);
    }
  }
}
