// Runs what a graph's target needs and nothing else: every operation once, as soon as its inputs
// are there, those of independent stages side by side; none whose result the cache has. The first
// failure ends everything that runs, and is thrown when it has ended.

import { GantryError } from "../base/index.ts";
import { copyKey, folderKey, runKey } from "./cache-key.ts";
import type { BuildCache, CacheRecord, FileSource, Root, StepOutput, Worker } from "./contract.ts";
import type { CopyOperation, Input, RunOperation, Vertex } from "./graph.ts";
import { StepSlots } from "./solver-slots.ts";

/** Told what becomes of each operation, in no particular order. */
export interface SolveObserver {
  started(vertex: Vertex): void;
  /** `record`: what is remembered of it. */
  done(vertex: Vertex, outcome: { cached: boolean; record: CacheRecord; root: Root }): void;
  failed(vertex: Vertex, error: unknown): void;
  output(vertex: Vertex): Omit<StepOutput, "signal">;
}

export interface SolverOptions {
  worker: Worker;
  cache: BuildCache;
  observer: SolveObserver;
  /** Nothing of the cache is used, but what is made is remembered. */
  noCache?: boolean;
  stepsMax: number;
  signal: AbortSignal;
}

/** The file system of `input`, made where it is not there yet. */
export async function solve(input: Input, options: SolverOptions): Promise<Root> {
  return await new Solver(input, options).solve();
}

class Solver {
  readonly #input: Input;
  readonly #options: SolverOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #roots = new Map<Vertex, Promise<Root>>();
  readonly #keys = new Map<Vertex, string>();
  readonly #slots: StepSlots;
  #failure: { error: unknown } | undefined;

  constructor(input: Input, options: SolverOptions) {
    this.#input = input;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    const indices = [...neededBy(input)].map(({ index }) => index);
    this.#slots = new StepSlots(options.stepsMax, indices);
  }

  async solve(): Promise<Root> {
    const top = this.#root(this.#input);
    try {
      return await top;
    } catch (error) {
      this.#stop.abort(error);
      await Promise.allSettled(this.#roots.values());
      throw this.#failure?.error ?? error;
    }
  }

  #root(input: Input): Promise<Root> {
    if (input.kind === "root") return Promise.resolve(input.root);
    if (input.kind === "context") {
      throw new GantryError("internal", "a context is no file system to build on");
    }
    const { vertex } = input;
    const known = this.#roots.get(vertex);
    if (known !== undefined) return known;
    const solving = this.#vertex(vertex);
    solving.catch(() => {});
    this.#roots.set(vertex, solving);
    return solving;
  }

  async #vertex(vertex: Vertex): Promise<Root> {
    // Everything that it needs begins at once, not only the first of it.
    const inputs = [vertex.base, ...inputsOf(vertex)];
    const [base, ...sources] = await Promise.all(inputs.map((input) => this.#source(input)));
    const { root } = base as { kind: "root"; root: Root };
    try {
      await this.#slots.enter(vertex.index, this.#signal);
      return await this.#step(vertex, root, sources);
    } catch (error) {
      // The first failure is the reason; the others are what it ended.
      this.#failure ??= { error };
      this.#stop.abort(error);
      throw error;
    } finally {
      this.#slots.finish(vertex.index);
    }
  }

  async #source(input: Input): Promise<FileSource> {
    if (input.kind === "context") return input;
    return { kind: "root", root: await this.#root(input) };
  }

  async #step(vertex: Vertex, base: Root, sources: readonly FileSource[]): Promise<Root> {
    const { observer, cache, noCache = false } = this.#options;
    observer.started(vertex);
    try {
      const task = await this.#task(vertex, base, sources);
      this.#keys.set(vertex, task.key);
      this.#signal.throwIfAborted();
      const { cached, record } = await this.#exclusive(task.key, async () => {
        const known = noCache ? undefined : await cache.find(task.key);
        if (known !== undefined) return { cached: true, record: known };
        const layer = await task.run({ ...observer.output(vertex), signal: this.#signal });
        const inputs = this.#inputKeys(vertex);
        const made = { layer, inputs, description: vertex.label, createdAtMs: Date.now() };
        cache.put(task.key, made);
        return { cached: false, record: made };
      });
      const root = record.layer === undefined ? base : { layers: [...base.layers, record.layer] };
      observer.done(vertex, { cached, record, root });
      return root;
    } catch (error) {
      observer.failed(vertex, error);
      throw error;
    }
  }

  /** The operations right beneath; they have run. */
  #inputKeys(vertex: Vertex): string[] {
    const inputs = [vertex.base, ...inputsOf(vertex)];
    const keys = inputs.map((input) => input.kind === "vertex" && this.#keys.get(input.vertex));
    return [...new Set(keys.filter((key) => typeof key === "string"))];
  }

  /** Another build may be at the same step for long: who is aborted does not wait for it. */
  #exclusive<T>(key: string, work: () => Promise<T>): Promise<T> {
    const signal = this.#signal;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let isOurs = false;
    const leave = () => {
      if (!isOurs) reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    const turn = this.#options.cache.exclusive(key, async () => {
      isOurs = true;
      signal.throwIfAborted();
      return await work();
    });
    turn.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
    return promise;
  }

  /** The key of an operation and how to run it. */
  async #task(vertex: Vertex, base: Root, sources: readonly FileSource[]): Promise<Task> {
    const { operation } = vertex;
    const { worker } = this.#options;
    switch (operation.kind) {
      case "run":
        return await this.#runTask(base, operation, sources);
      case "copy":
        return await this.#copyTask(base, operation, sources);
      case "folder": {
        const { path, user } = operation;
        return {
          key: folderKey(base, operation),
          run: async (output) =>
            (await worker.makeFolder({ root: base, path, user }, output)).layer,
        };
      }
    }
  }

  async #runTask(
    base: Root,
    operation: RunOperation,
    sources: readonly FileSource[],
  ): Promise<Task> {
    const { worker } = this.#options;
    const { args, user, workingDir, network, security, script } = operation;
    const mounts = operation.mounts.map(({ mount }, index) => ({ mount, from: sources[index]! }));
    const digests = mounts.map(({ mount, from }) => {
      if (mount.type !== "bind") return "";
      const path = { written: mount.source, path: `/${mount.source}` };
      return worker.digest({ from, paths: [path], exclude: [] }, { signal: this.#signal });
    });
    const request = {
      ...{ root: base, args, user, workingDir, network, security, mounts },
      env: withProxies(operation),
      ...(script && { script }),
    };
    return {
      key: runKey(base, operation, await Promise.all(digests)),
      run: async (output) => (await worker.run(request, output)).layer,
    };
  }

  async #copyTask(
    base: Root,
    operation: CopyOperation,
    inputs: readonly FileSource[],
  ): Promise<Task> {
    const { worker } = this.#options;
    const { inline, destination, exclude, chown, chmod, parents, unpack } = operation;
    let next = 0;
    const selections = await Promise.all(
      operation.sources.map(async ({ from, paths }) => {
        const source =
          from.kind === "download"
            ? await worker.download(from.download, { signal: this.#signal })
            : inputs[next++]!;
        return { from: source, paths, exclude };
      }),
    );
    const digests = await Promise.all(
      selections.map((selection) => worker.digest(selection, { signal: this.#signal })),
    );
    // With --link the files stand beside what is there; names of users need the base all the same.
    const alone = operation.link && (chown === undefined || /^\d+(:\d+)?$/.test(chown));
    const root = alone ? { layers: [] } : base;
    const request = {
      ...{ root, selections, inline, destination, parents, unpack },
      ...(chown && { chown }),
      ...(chmod && { chmod }),
    };
    return {
      key: copyKey(root, operation, digests, destination),
      run: async (output) => (await worker.copy(request, output)).layer,
    };
  }
}

interface Task {
  key: string;
  run(output: StepOutput): Promise<string | undefined>;
}

/** What an operation reads beside its base, downloads left out. */
function inputsOf({ operation }: Vertex): Input[] {
  if (operation.kind === "run") return operation.mounts.map(({ from }) => from);
  if (operation.kind === "folder") return [];
  return operation.sources.flatMap(({ from }) => (from.kind === "download" ? [] : [from]));
}

/** Every vertex that `input` depends on. */
export function neededBy(input: Input): Set<Vertex> {
  const needed = new Set<Vertex>();
  const open = [input];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.kind !== "vertex" || needed.has(next.vertex)) continue;
    needed.add(next.vertex);
    open.push(next.vertex.base, ...inputsOf(next.vertex));
  }
  return needed;
}

/** The step's own variables win over the proxy settings of the build. */
function withProxies({ env, proxyEnv }: RunOperation): string[] {
  const names = new Set(env.map((entry) => entry.split("=", 1)[0]));
  return [...proxyEnv.filter((entry) => !names.has(entry.split("=", 1)[0])), ...env];
}
