// What the steps of earlier builds depended on: one record for each stage of each Dockerfile of
// each project, written when a build ends. Bounded: the records that were used longest ago go.

import { join } from "node:path/posix";
import type { Vertex, VertexLookup } from "../../build/index.ts";
import { digestOf, hexOf, writePlatform } from "../../spec/index.ts";
import type { Collection } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { formerOf, type ListFiles, memoOf, reasonOf, type StepMemo } from "./explain.ts";
import type { BuildJob } from "./job.ts";
import type { PlacedStep, StepReports } from "./report-steps.ts";
import { findSelection } from "./selection.ts";
import type { Workspace } from "./workspace.ts";

interface StageMemory {
  atMs: number;
  steps: (StepMemo | null)[];
}

const STAGES_MAX = 500;
/** How many may come before those that are too many are looked for. */
const STAGES_SLACK = 100;
/** Files of one source whose changes can be named, and of all sources of a build. */
const FILES_MAX = 2000;
const ALL_FILES_MAX = 20_000;
/** Steps of a build that are remembered: people read about no more. */
const STEPS_MAX = 500;
const SHORT_DIGITS = 12;

/** One an engine. */
export class StepMemories {
  readonly #records: Collection<StageMemory>;
  #added = STAGES_SLACK;

  constructor({ storage }: Pick<EngineContext, "storage">) {
    this.#records = storage.records.collection<StageMemory>("build-steps");
  }

  forBuild(job: BuildJob, o: { workspace: Workspace; signal: AbortSignal }): StepMemory {
    return new StepMemory(this, job, o);
  }

  get(key: string): StageMemory {
    return this.#records.get(key) ?? { atMs: 0, steps: [] };
  }

  put(key: string, steps: (StepMemo | null)[]): void {
    if (this.#records.get(key) === undefined) this.#added++;
    this.#records.put(key, { atMs: Date.now(), steps });
    if (this.#added < STAGES_SLACK) return;
    this.#added = 0;
    const oldest = this.#records.all().sort(([, a], [, b]) => b.atMs - a.atMs);
    for (const [old] of oldest.slice(STAGES_MAX)) this.#records.delete(old);
  }
}

/** That of one build. */
export class StepMemory {
  readonly #memories: StepMemories;
  readonly #workspace: Workspace;
  readonly #project: string;
  readonly #explains: boolean;
  readonly #signal: AbortSignal;
  readonly #memos = new Map<Vertex, Promise<StepMemo | undefined>>();
  #files = 0;

  constructor(
    memories: StepMemories,
    job: BuildJob,
    { workspace, signal }: { workspace: Workspace; signal: AbortSignal },
  ) {
    this.#memories = memories;
    this.#workspace = workspace;
    this.#project = projectOf(job);
    this.#explains = job.explain === true;
    this.#signal = signal;
  }

  /** Notes what a step depends on; with --explain, says how that came about. */
  async look(
    vertex: Vertex,
    placed: PlacedStep,
    lookup: VertexLookup,
  ): Promise<string | undefined> {
    if (this.#memos.size >= STEPS_MAX) return undefined;
    const before = this.#stage(placed).steps.map((memo) => memo ?? undefined);
    const known = before[placed.index];
    // The same as the last time: nothing to be found out, nothing to be written.
    if (known?.key === lookup.key) {
      this.#memos.set(vertex, Promise.resolve(undefined));
      return this.#explains ? reasonOf(known, known, lookup) : undefined;
    }
    const making = memoOf(vertex, lookup, (selection) => this.#list(selection));
    making.catch(() => {});
    this.#memos.set(vertex, making);
    if (!this.#explains) return undefined;
    const now = await making;
    return reasonOf(formerOf(before, now, placed.index), now, lookup);
  }

  /** Keeps what the steps that are done depended on. */
  async keep(reports: StepReports): Promise<void> {
    const changed = new Map<string, { stage: StageMemory; steps: Map<number, StepMemo> }>();
    for (const [vertex, making] of this.#memos) {
      const placed = reports.step(vertex);
      const memo = await making.catch(() => undefined);
      if (!memo || !placed || !reports.outcomes.has(vertex)) continue;
      const key = this.#key(placed);
      const entry = changed.get(key) ?? { stage: this.#stage(placed), steps: new Map() };
      entry.steps.set(placed.index, memo);
      changed.set(key, entry);
    }
    for (const [key, { stage, steps }] of changed) {
      const count = Math.max(stage.steps.length, ...[...steps.keys()].map((index) => index + 1));
      const all = Array.from(
        { length: count },
        (_, index) => steps.get(index) ?? stage.steps[index],
      );
      this.#memories.put(
        key,
        all.map((memo) => memo ?? null),
      );
    }
  }

  #stage(placed: PlacedStep): StageMemory {
    return this.#memories.get(this.#key(placed));
  }

  #key({ graph, stage }: PlacedStep): string {
    const { file } = graph.plan;
    const name = stage.planned.stage.from.name ?? String(stage.planned.index);
    const platform = writePlatform(graph.plan.targetPlatform);
    return digestOf(JSON.stringify([this.#project, file.source.name, name, platform]));
  }

  /** By path; undefined where it would have to be read, or is too much. */
  async #list(selection: Parameters<ListFiles>[0]): ReturnType<ListFiles> {
    if (selection.from.kind !== "context") return undefined;
    const signal = this.#signal;
    const source = this.#workspace.files(selection.from);
    const { files, items, excludes } = await findSelection(source, selection, { signal });
    const found: Record<string, string> = {};
    let count = 0;
    for (const item of items) {
      for await (const [file, digest] of files.list(item, excludes, { signal })) {
        if (++count > FILES_MAX || ++this.#files > ALL_FILES_MAX) return undefined;
        if (file.type === "5") continue;
        const { mode, uid, gid, size, link } = file;
        const facts = digestOf(JSON.stringify([mode & 0o7777, uid, gid, size, link, digest]));
        found[join("/", item.path, file.name).slice(1)] = hexOf(facts).slice(0, SHORT_DIGITS);
      }
    }
    return found;
  }
}

/** What says that two builds are of the same thing: the client's folder, or an address. */
function projectOf({ contexts, session }: BuildJob): string {
  const main = contexts.get("");
  switch (main?.kind) {
    case "folder":
      return main.path;
    case "git":
    case "http":
      return main.url.replace(/#.*$/, "");
    case "session":
      return main.session.sharedKey;
    default:
      return session?.sharedKey ?? "";
  }
}
