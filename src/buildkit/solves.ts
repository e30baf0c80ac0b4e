// The Control.Solve calls that are under way, by the ref that the client gave. A call that names no
// front end waits here: the client is its own, and drives the build through LLBBridge.

import { randomBytes } from "node:crypto";
import { GantryError } from "../base/index.ts";
import type { BuildJob } from "../engine/index.ts";
import type { control } from "../gen/buildkit/index.ts";

/** How long a client's call of LLBBridge waits for its Control.Solve, which comes beside it. */
const ARRIVAL_MS = 3_000;
const RESULTS_MAX = 100;

/** What a client has a ref of: a build that runs when somebody wants its outcome. */
export interface Result {
  job: BuildJob;
}

export class Solve {
  readonly ref: string;
  readonly request: control.SolveRequest;
  readonly signal: AbortSignal;
  /** Resolves with what the client returned. */
  readonly returned = Promise.withResolvers<Result | undefined>();
  readonly #results = new Map<string, Result>();
  /** Whether the engine runs, or has run, a build of this ref. */
  hasBegun = false;

  constructor(request: control.SolveRequest, signal: AbortSignal) {
    this.ref = request.ref;
    this.request = request;
    this.signal = signal;
    this.returned.promise.catch(() => {});
  }

  add(result: Result): string {
    if (this.#results.size >= RESULTS_MAX) {
      throw new GantryError("exhausted", `a build has at most ${RESULTS_MAX} results`);
    }
    const id = randomBytes(16).toString("hex");
    this.#results.set(id, result);
    return id;
  }

  result(id: string): Result | undefined {
    return this.#results.get(id);
  }
}

export class Solves {
  readonly #open = new Map<string, Solve>();
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #watching = new Map<string, Set<(solve: Solve) => void>>();

  /** Throws conflict when a call with that ref is under way. */
  async run<T>(solve: Solve, work: () => Promise<T>): Promise<T> {
    if (solve.ref === "") throw new GantryError("invalid", "a build needs a ref");
    if (this.#open.has(solve.ref)) {
      throw new GantryError("conflict", `a build with ref ${solve.ref} is running`);
    }
    this.#open.set(solve.ref, solve);
    for (const arrived of this.#waiting.get(solve.ref) ?? []) arrived();
    try {
      return await work();
    } finally {
      this.#open.delete(solve.ref);
      solve.returned.reject(new GantryError("cancelled", "the build has ended"));
      for (const ended of this.#watching.get(solve.ref) ?? []) ended(solve);
    }
  }

  /** Calls back when a call of that ref ends; returns how to stop that. */
  watch(ref: string, ended: (solve: Solve) => void): () => void {
    const watching = this.#watching.get(ref) ?? new Set();
    this.#watching.set(ref, watching.add(ended));
    return () => {
      watching.delete(ended);
      if (watching.size === 0 && this.#watching.get(ref) === watching) this.#watching.delete(ref);
    };
  }

  /** A result of any call that is under way: bake's targets use each other's. */
  result(id: string): Result | undefined {
    for (const solve of this.#open.values()) {
      const found = solve.result(id);
      if (found) return found;
    }
    return undefined;
  }

  /** Throws not-found when the call does not come in time. */
  async get(ref: string, { signal }: { signal: AbortSignal }): Promise<Solve> {
    const known = this.#open.get(ref);
    if (known) return known;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(ref) ?? new Set();
    this.#waiting.set(ref, waiting.add(resolve));
    const late = setTimeout(() => {
      reject(new GantryError("not-found", `no such job ${ref}`));
    }, ARRIVAL_MS);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", onAbort);
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiting.get(ref) === waiting) this.#waiting.delete(ref);
    }
    return this.get(ref, { signal });
  }
}
