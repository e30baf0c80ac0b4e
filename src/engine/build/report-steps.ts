// The solver's operations as vertices of the report: announced in the order of the file, then told
// as they begin, speak and end. What is found of each step is kept for the image's config, the
// cache's export and provenance.

import { normalize } from "node:path/posix";
import { GantryError } from "../../base/index.ts";
import {
  type BuildGraph,
  errorAt,
  type GraphStage,
  type Input,
  neededBy,
  placeOf,
  type SolveObserver,
  type Step,
  type Vertex,
  type VertexLookup,
  type VertexOutcome,
} from "../../build/index.ts";
import { writePlatform } from "../../spec/index.ts";
import type { StepFacts } from "./assemble.ts";
import type { BuiltStep } from "./job.ts";
import type { JobContexts } from "./job-contexts.ts";
import type { BuildReport, OpenVertex } from "./report.ts";

const REF_DIGITS = 25;
const NOT_FOUND =
  /^COPY failed: (?:file not found in build context[^:]*: stat (.*?): file does not exist|no source files were specified: (\S*))(.*)$/s;

/** An operation with where in the Dockerfile it stands. */
export interface PlacedStep {
  graph: BuildGraph;
  stage: GraphStage;
  /** Absent: the folder that a stage begins with. */
  step?: Step | undefined;
  /** Its number in the stage. */
  index: number;
}
type Explain = (
  vertex: Vertex,
  placed: PlacedStep,
  lookup: VertexLookup,
) => Promise<string | undefined>;

export class StepReports implements SolveObserver {
  readonly outcomes = new Map<Vertex, StepFacts & VertexOutcome>();
  /** The step that failed first; what its failure ended is none of its own. */
  failure: { vertex: Vertex; error: unknown } | undefined;
  readonly #report: BuildReport;
  readonly #signal: AbortSignal;
  readonly #vertices = new Map<Vertex, OpenVertex>();
  readonly #steps = new Map<Vertex, PlacedStep>();
  readonly #bases = new Map<string, OpenVertex>();
  readonly #reasons = new Map<Vertex, string>();
  readonly #explain: Explain;
  readonly #aborted: Promise<void>;

  constructor(
    graphs: readonly BuildGraph[],
    contexts: JobContexts,
    o: {
      report: BuildReport;
      signal: AbortSignal;
      /** What the base of a stage is, beside its label: its digest. */
      baseDigest(stage: GraphStage): string;
      /** Why a step runs or was found, where that is asked for. */
      explain: Explain;
    },
  ) {
    this.#report = o.report;
    this.#signal = o.signal;
    this.#explain = o.explain;
    this.#aborted = new Promise((resolve) => {
      o.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const needed = neededBy(...graphs.map(({ target }) => target.top));
    for (const graph of graphs) {
      for (const stage of graph.stages) {
        if (this.#isNeeded(stage, needed, graph))
          this.#announce(graph, stage, graphs, o.baseDigest);
        this.#place(graph, stage);
      }
    }
    const inOrder = [...needed].sort((a, b) => a.index - b.index);
    for (const vertex of inOrder) this.#open(vertex, graphs.length > 1, contexts);
  }

  step(vertex: Vertex): PlacedStep | undefined {
    return this.#steps.get(vertex);
  }
  vertex(vertex: Vertex): OpenVertex | undefined {
    return this.#vertices.get(vertex);
  }

  #isNeeded(stage: GraphStage, needed: ReadonlySet<Vertex>, graph: BuildGraph): boolean {
    if (stage === graph.target) return true;
    return stage.steps.some(({ vertex }) => vertex && needed.has(vertex));
  }

  /** Its base image, as a vertex that is done: the image is here. */
  #announce(
    graph: BuildGraph,
    stage: GraphStage,
    graphs: readonly BuildGraph[],
    baseDigest: (stage: GraphStage) => string,
  ): void {
    const { image, baseLabel } = stage;
    const key = baseKey(stage);
    if (image === undefined || baseLabel === "" || this.#bases.has(key)) return;
    const name = `${baseLabel}${baseDigest(stage)}`;
    const label = graphs.length > 1 ? withPlatform(name, graph, stage) : name;
    const vertex = this.#report.open(label);
    vertex.done({ cached: true });
    this.#bases.set(key, vertex);
  }

  #place(graph: BuildGraph, stage: GraphStage): void {
    for (const [index, { step, vertex }] of stage.steps.entries()) {
      if (vertex && !this.#steps.has(vertex))
        this.#steps.set(vertex, { graph, stage, step, index });
    }
    const { base } = stage;
    if (base.kind === "vertex" && !this.#steps.has(base.vertex)) {
      this.#steps.set(base.vertex, { graph, stage, index: -1 });
    }
  }

  #open(vertex: Vertex, isSeveral: boolean, contexts: JobContexts): void {
    const placed = this.#steps.get(vertex);
    const { label } = vertex;
    const name = isSeveral && placed ? withPlatform(label, placed.graph, placed.stage) : label;
    const inputs = [vertex.base, ...sourcesOf(vertex)].flatMap((input) => {
      if (input.kind === "context") return contexts.vertex(input.name).digest;
      return input.kind === "vertex" ? this.#vertices.get(input.vertex)!.digest : [];
    });
    const isFirst = placed !== undefined && vertex.base.kind === "root";
    const from = isFirst ? this.#bases.get(baseKey(placed.stage))?.digest : undefined;
    const all = [...new Set([...(from ? [from] : []), ...inputs])];
    const digest = vertex.identity;
    this.#vertices.set(vertex, this.#report.open(name, { digest, inputs: all, waits: true }));
  }

  started(vertex: Vertex): void {
    this.#vertices.get(vertex)!.begin();
  }

  async looked(vertex: Vertex, lookup: VertexLookup): Promise<void> {
    const placed = this.#steps.get(vertex);
    const reason = placed && (await this.#explain(vertex, placed, lookup));
    if (reason === undefined) return;
    this.#reasons.set(vertex, reason);
    void this.#vertices.get(vertex)!.log(`${reason}\n`, 2);
  }

  done(vertex: Vertex, outcome: VertexOutcome): void {
    const { cached, record, root } = outcome;
    const isEmpty = record.layer === undefined;
    const { createdAtMs } = record;
    this.outcomes.set(vertex, { ...outcome, createdAtMs, layers: root.layers, isEmpty });
    this.#vertices.get(vertex)!.done({ cached, because: this.#reasons.get(vertex) });
  }

  failed(vertex: Vertex, error: unknown): void {
    // What the first failure ended is no failure of its own.
    const isFirst = this.failure === undefined || this.failure.error !== error;
    const own = !this.#signal.aborted && !isCancelled(error) && isFirst;
    if (own) this.failure ??= { vertex, error };
    const words = own ? this.explained(vertex, error) : new Error("context canceled");
    this.#vertices.get(vertex)!.failed(words, this.#reasons.get(vertex));
  }

  output(vertex: Vertex): ReturnType<SolveObserver["output"]> {
    const open = this.#vertices.get(vertex)!;
    return {
      write: (name, chunk) => {
        const room = open.log(chunk, name === "stderr" ? 2 : 1);
        // Who cancels does not wait for who does not read.
        return room && Promise.race([room, this.#aborted]);
      },
      started: () => {},
      ended: () => {},
    };
  }

  /** A step's error in BuildKit's words, with its place in the Dockerfile. */
  explained(vertex: Vertex, error: unknown): unknown {
    const placed = this.#steps.get(vertex);
    if (!(error instanceof GantryError) || placed?.step === undefined) return error;
    if (placeOf(error)) return error;
    const message = inBuildKitsWords(vertex, error);
    const { source } = placed.graph.plan.file;
    const { detail } = errorAt({ source, range: placed.step.instruction.range }, message);
    const own = { ...error.detail, ...detail, vertex: vertex.identity, step: vertex.label };
    return new GantryError(error.kind, message, { cause: error, detail: own });
  }

  /** Every step that the target of a graph needed, in the order of the file. */
  built(graph: BuildGraph): BuiltStep[] {
    const needed = [...neededBy(graph.target.top)].sort((a, b) => a.index - b.index);
    return needed.flatMap((vertex) => {
      const outcome = this.outcomes.get(vertex);
      const state = this.#vertices.get(vertex)?.state;
      if (!outcome || !state) return [];
      return {
        ...{ digest: state.digest, name: state.name, key: outcome.key },
        ...{ layer: outcome.record.layer, createdAtMs: outcome.createdAtMs },
        cached: outcome.cached,
        startedAtMs: state.startedAtMs ?? 0,
        completedAtMs: state.completedAtMs ?? 0,
      };
    });
  }
}

/** What clients of BuildKit's search for; what we know beyond that stays. */
function inBuildKitsWords({ operation, identity }: Vertex, error: GantryError): string {
  const { message } = error;
  const sought = operation.kind === "folder" ? null : NOT_FOUND.exec(message);
  if (sought) {
    const [, stated, written = stated ?? "", hint = ""] = sought;
    const ref = `${identity.slice("sha256:".length).slice(0, REF_DIGITS)}`;
    const path = JSON.stringify(normalize(`/${written}`));
    const checksum = `failed to calculate checksum of ref ${ref}: ${path}: not found${hint}`;
    return `failed to compute cache key: ${checksum}`;
  }
  if (operation.kind !== "run") return message;
  const command = JSON.stringify(operation.args.join(" "));
  const failed = `process ${command} did not complete successfully`;
  const { exitCode } = error.detail as { exitCode?: number };
  const ended = exitCode === undefined ? "" : `: exit code: ${exitCode}`;
  // A code alone would not say that it was the program, or the shell, that is missing.
  const start = /unable to (?:start container process: |find (?:user|group) ).*/s.exec(message);
  if (start) return `${failed}${ended}: ${start[0].replace(/: unknown$/, "")}`;
  return ended === "" ? message : `${failed}${ended}`;
}

const isCancelled = (error: unknown): boolean =>
  error instanceof GantryError && error.kind === "cancelled";

/** Stages that begin with one image share its vertex. */
const baseKey = ({ image }: GraphStage): string => image?.id ?? "";

function sourcesOf({ operation }: Vertex): Input[] {
  if (operation.kind === "run") return operation.mounts.map(({ from }) => from);
  if (operation.kind === "folder") return [];
  return operation.sources.flatMap(({ from }) => (from.kind === "download" ? [] : [from]));
}

/** "[linux/arm64 build 2/5] RUN …"; "linux/amd64->arm64" where a stage runs here for elsewhere. */
function withPlatform(label: string, { plan }: BuildGraph, { evaluated }: GraphStage): string {
  const own = writePlatform(evaluated.platform);
  const target = writePlatform(plan.targetPlatform);
  const shown = own === target ? own : `${own}->${target.replace(/^linux\//, "")}`;
  return label.replace(/^\[/, `[${shown} `);
}
