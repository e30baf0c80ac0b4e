// Every acquisition registers its release next to it; leaving the scope without commit() undoes
// them in reverse order. Each release gets its own deadline and does not see the caller's
// cancellation, and a failing release never hides the first error: both are kept.

import { GantryError } from "./errors.ts";

const RELEASE_DEADLINE_MS = 10_000;

type Release = { what: string; run: () => unknown };

export class Rollback implements AsyncDisposable {
  #releases: Release[] = [];
  #onFailure: (what: string, error: unknown) => void;

  constructor(onFailure: (what: string, error: unknown) => void = () => {}) {
    this.#onFailure = onFailure;
  }

  /** Registers the release of something just acquired. */
  defer(what: string, run: () => unknown): void {
    this.#releases.push({ what, run });
  }

  /** The work is done: nothing will be undone. */
  commit(): void {
    this.#releases = [];
  }

  /** What is to be undone, for another owner; nothing is undone here. */
  handOver(): Rollback {
    const next = new Rollback(this.#onFailure);
    next.#releases = this.#releases;
    this.#releases = [];
    return next;
  }

  /** Undoes now, in reverse order. Throws an AggregateError when releases failed. */
  async undo(): Promise<void> {
    const failures: unknown[] = [];
    for (let release = this.#releases.pop(); release; release = this.#releases.pop()) {
      try {
        await withDeadline(release.what, release.run);
      } catch (error) {
        this.#onFailure(release.what, error);
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Failed to release resources");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.undo();
  }
}

async function withDeadline(what: string, run: () => unknown): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new GantryError("timeout", `Releasing ${what} took over 10 s`)),
      RELEASE_DEADLINE_MS,
    );
  });
  try {
    await Promise.race([Promise.resolve().then(run), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
