// The builds that run, by ref: who began them can end them, others may follow what they tell, also
// before they begin, since clients ask for the progress of a build beside asking for the build.

import { GantryError } from "../../base/index.ts";
import type { BuildEvent } from "./job.ts";
import type { BuildReport } from "./report.ts";

export interface RunningBuild {
  readonly ref: string;
  /** Absent: a classic build, which tells its own words. */
  readonly report?: BuildReport;
  readonly cancel: AbortController;
}

export class RunningBuilds {
  readonly #running = new Map<string, RunningBuild>();
  readonly #ends = new Set<Promise<void>>();
  readonly #waiters = new Map<string, Set<(build: RunningBuild) => void>>();

  /** Runs `work` under a ref. Throws conflict when it is taken. */
  async run<T>(ref: string, report: BuildReport | undefined, work: Work<T>): Promise<T> {
    const { signal, leave } = this.enter(ref, report);
    try {
      return await work(signal);
    } finally {
      leave();
    }
  }

  /** As `run`, for a generator: `leave` must follow. */
  enter(ref: string, report?: BuildReport): { signal: AbortSignal; leave: () => void } {
    if (this.#running.has(ref)) {
      throw new GantryError("conflict", `a build with id ${ref} is running`);
    }
    const cancel = new AbortController();
    const build: RunningBuild = { ref, cancel, ...(report && { report }) };
    this.#running.set(ref, build);
    const end = Promise.withResolvers<void>();
    this.afterwards(end.promise);
    for (const begun of this.#waiters.get(ref) ?? []) begun(build);
    const leave = () => {
      this.#running.delete(ref);
      end.resolve();
    };
    return { signal: cancel.signal, leave };
  }

  get(ref: string): RunningBuild | undefined {
    return this.#running.get(ref);
  }

  cancel(ref: string): void {
    const found = this.#running.get(ref);
    if (!found) throw new GantryError("not-found", `no build with id ${ref} is running`);
    found.cancel.abort(new GantryError("cancelled", "Build cancelled"));
  }

  /** Work that nobody waits for but the end of the engine. */
  afterwards(work: Promise<void>): void {
    this.#ends.add(work);
    void work.finally(() => this.#ends.delete(work));
  }

  async idle(): Promise<void> {
    while (this.#ends.size > 0) await Promise.all(this.#ends);
  }

  /** The build of that ref as soon as it runs, though it may end before one looks. */
  async begun(ref: string, signal: AbortSignal): Promise<RunningBuild> {
    signal.throwIfAborted();
    const found = this.#running.get(ref);
    if (found) return found;
    const { promise, resolve, reject } = Promise.withResolvers<RunningBuild>();
    const waiting = this.#waiters.get(ref) ?? new Set();
    this.#waiters.set(ref, waiting.add(resolve));
    const leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", leave);
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiters.delete(ref);
    }
  }
}

type Work<T> = (signal: AbortSignal) => Promise<T>;
export type Tell = (event: BuildEvent) => void;
