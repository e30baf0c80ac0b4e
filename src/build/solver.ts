// Runs what a graph's target needs and nothing else: every operation once, as soon as its inputs
// are there, those of independent stages side by side; none whose result the cache has. The first
// failure ends everything that runs, and is thrown when it has ended.

import { GantryError } from "../base/index.ts";
import { copyKey, folderKey, runKey } from "./cache-key.ts";
import type {
  BuildCache,
  CacheRecord,
  FileSelection,
  FileSource,
  Root,
  StepOutput,
  Worker,
} from "./contract.ts";
import type { CopyOperation, Input, RunOperation, Vertex } from "./graph.ts";
import { StepSlots } from "./solver-slots.ts";

/** Told what becomes of each operation, in no particular order. */
export interface SolveObserver {
  started(vertex: Vertex): void;
  /** Its key is known, and whether the cache has it; waited for before the operation runs. */
  looked?(vertex: Vertex, lookup: VertexLookup): Promise<void> | void;
  /** `record`: what is remembered of it. */
  done(vertex: Vertex, outcome: VertexOutcome): void;
  failed(vertex: Vertex, error: unknown): void;
  output(vertex: Vertex): Omit<StepOutput, "signal">;
}

export interface VertexLookup {
  key: string;
  /** The file system that it begins with, and what it reads, by content. */
  from: Root;
  reads: readonly SourceDigest[];
  found: boolean;
  /** The cache was not asked. */
  fresh: boolean;
}
export interface VertexOutcome extends Pick<VertexLookup, "key" | "from" | "reads"> {
  cached: boolean;
  record: CacheRecord;
  root: Root;
}
/** What an operation read, and the digest of what was there. */
export interface SourceDigest {
  selection: FileSelection;
  digest: string;
}

export interface SolverOptions {
  worker: Worker;
  cache: BuildCache;
  observer: SolveObserver;
  /** Nothing of the cache is used (for these operations), but what is made is remembered. */
  noCache?: boolean | ((vertex: Vertex) => boolean);
  stepsMax: number;
  signal: AbortSignal;
}

/** The file system of `input`, made where it is not there yet. */
export async function solve(input: Input, options: SolverOptions): Promise<Root> {
  const [root] = await solveAll([input], options);
  return root!;
}

/** The file systems of several inputs; what they share is made once. */
export async function solveAll(inputs: readonly Input[], options: SolverOptions): Promise<Root[]> {
  return await new Solver(inputs, options).solve();
}

class Solver {
  readonly #inputs: readonly Input[];
  readonly #options: SolverOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #roots = new Map<Vertex, Promise<Root>>();
  readonly #keys = new Map<Vertex, string>();
  readonly #slots: StepSlots;
  #failure: { error: unknown } | undefined;

  constructor(inputs: readonly Input[], options: SolverOptions) {
    this.#inputs = inputs;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    const indices = [...neededBy(...inputs)].map(({ index }) => index);
    this.#slots = new StepSlots(options.stepsMax, indices);
  }

  async solve(): Promise<Root[]> {
    const tops = Promise.all(this.#inputs.map((input) => this.#root(input)));
    try {
      return await tops;
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
    if (input.kind === "context") {
      const { worker } = this.#options;
      return (await worker.context?.(input.name, { signal: this.#signal })) ?? input;
    }
    return { kind: "root", root: await this.#root(input) };
  }

  async #step(vertex: Vertex, base: Root, sources: readonly FileSource[]): Promise<Root> {
    const { observer, cache, noCache = false } = this.#options;
    observer.started(vertex);
    try {
      const task = await this.#task(vertex, base, sources);
      this.#keys.set(vertex, task.key);
      this.#signal.throwIfAborted();
      const about = { key: task.key, from: base, reads: task.reads };
      const { cached, record } = await cache.exclusive(task.key, this.#signal, async () => {
        const fresh = typeof noCache === "function" ? noCache(vertex) : noCache;
        const known = fresh ? undefined : await cache.find(task.key);
        const found = known !== undefined;
        await observer.looked?.(vertex, { ...about, found, fresh });
        if (known !== undefined) return { cached: true, record: known };
        const layer = await task.run({ ...observer.output(vertex), signal: this.#signal });
        const inputs = this.#inputKeys(vertex);
        const made = { layer, inputs, description: vertex.label, createdAtMs: Date.now() };
        cache.put(task.key, made);
        return { cached: false, record: made };
      });
      const root = record.layer === undefined ? base : { layers: [...base.layers, record.layer] };
      observer.done(vertex, { ...about, cached, record, root });
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
          reads: [],
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
    const wanted = mounts.map(({ mount, from }): FileSelection | undefined => {
      const isSeeded = mount.type === "cache" && mount.from !== undefined;
      if (mount.type !== "bind" && !isSeeded) return undefined;
      return { from, paths: [{ written: mount.source, path: `/${mount.source}` }], exclude: [] };
    });
    const digests = wanted.map((selection) =>
      selection ? worker.digest(selection, { signal: this.#signal }) : "",
    );
    const request = {
      ...{ root: base, args, user, workingDir, network, security, mounts },
      env: withProxies(operation),
      ...(script && { script }),
    };
    const known = await Promise.all(digests);
    const reads = wanted.flatMap((selection, index) =>
      selection ? [{ selection, digest: known[index]! }] : [],
    );
    return {
      ...{ key: runKey(base, operation, known), reads },
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
    const reads = selections.map((selection, index) => ({ selection, digest: digests[index]! }));
    return {
      ...{ key: copyKey(root, operation, digests, destination), reads },
      run: async (output) => (await worker.copy(request, output)).layer,
    };
  }
}

interface Task {
  key: string;
  reads: readonly SourceDigest[];
  run(output: StepOutput): Promise<string | undefined>;
}

/** What an operation reads beside its base, downloads left out. */
function inputsOf({ operation }: Vertex): Input[] {
  if (operation.kind === "run") return operation.mounts.map(({ from }) => from);
  if (operation.kind === "folder") return [];
  return operation.sources.flatMap(({ from }) => (from.kind === "download" ? [] : [from]));
}

/** Every vertex that `inputs` depend on. */
export function neededBy(...inputs: readonly Input[]): Set<Vertex> {
  const needed = new Set<Vertex>();
  const open = [...inputs];
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
