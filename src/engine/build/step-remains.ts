// What steps leave when their layer is made: cgroups, a network endpoint, folders. Removing it
// takes the kernel longer than a small step runs, so the next step begins meanwhile; the build
// waits for all of it at its end, so that nothing of a build is there when it is over.

/** Steps may end faster than the kernel can clear up after them. */
const WORK_MAX = 6;

export class StepRemains {
  readonly #work = new Set<Promise<void>>();

  /** Resolves when another step may begin. */
  async room(): Promise<void> {
    while (this.#work.size >= WORK_MAX) await Promise.race(this.#work);
  }

  /** `work` tells of its failures itself. */
  take(work: Promise<unknown>): void {
    const done = work.then(
      () => {},
      () => {},
    );
    this.#work.add(done);
    void done.then(() => this.#work.delete(done));
  }

  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }
}
