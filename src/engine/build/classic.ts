// The classic builder's front door (POST /build): one stream of docker's words, in the order of the
// file, over the solver that every other door uses. Commit point: the image is stored; tags follow.
// A client that goes away ends the running steps at once.

import { availableParallelism } from "node:os";
import { GantryError } from "../../base/index.ts";
import {
  BUILDER_ARGS,
  type BuildCache,
  type BuildGraph,
  type BuildPlan,
  checkEntitlements,
  type GraphStage,
  makeGraph,
  PROXY_ARGS,
  type SolveObserver,
  solve,
  type Vertex,
} from "../../build/index.ts";
import { familiarReference, parseReference } from "../../spec/index.ts";
import type { Lease } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Progress } from "../contract.ts";
import { announceImage } from "../images/tag.ts";
import { assembleConfig, type StepFacts, stepNames } from "./assemble.ts";
import { baseImages, credentialsFrom } from "./base-images.ts";
import { openCacheImports } from "./cache/index.ts";
import type { CacheMounts } from "./cache-mounts.ts";
import type { CacheStore } from "./cache-store.ts";
import { contextOf, planned, readDockerfile, withPlace } from "./classic-file.ts";
import { type ContextStore, openContext } from "./contexts/index.ts";
import { refuseForeignRuns } from "./foreign-platform.ts";
import type { OpenContext } from "./job.ts";
import { collectCache } from "./prune.ts";
import { refuseFindings } from "./refuse-findings.ts";
import { BuildReport } from "./report.ts";
import { type BuildRequest, checkRequest } from "./request.ts";
import { StepReport } from "./step-report.ts";
import { BuildWorker } from "./worker.ts";
import { Workspace } from "./workspace.ts";

const STEPS_MIN = 2;
const SHORT_ID = 12;
/** BuildKit's name of the machine that steps see. */
const HOSTNAME = "buildkitsandbox";

export interface ClassicPlace {
  engine: EngineContext;
  cache: CacheStore;
  cacheMounts: CacheMounts;
  contextStore: ContextStore;
  /** Nobody waits for this but the end of the engine. */
  afterwards(work: Promise<void>): void;
}

/** Yields docker's messages. Throws what the API shows as the error of the stream. */
export async function* classicBuild(
  place: ClassicPlace,
  request: BuildRequest,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Progress> {
  const { engine } = place;
  const { references, warnings } = checkRequest(request);
  const stop = new AbortController();
  const signals = AbortSignal.any([signal, stop.signal, engine.closing.signal]);
  const lease = engine.storage.lease();
  const workspace = await Workspace.make(engine);
  const imports = new ClassicImports();
  let cache: (BuildCache & AsyncDisposable) | undefined;
  let opened: OpenContext | undefined;
  try {
    cache = await imports.open(place, request, { lease, signal: signals });
    const { contextStore: store } = place;
    const contextPlace = { engine, workspace, store, lease };
    opened = await openContext(contextPlace, contextOf(request), { name: "", signal: signals });
    const file = await readDockerfile(workspace, request, signals);
    const plan = planned(file, request);
    const run = new ClassicRun({ place, request, plan, workspace, lease, cache, signal: signals });
    const quiet = request.quiet;
    for await (const message of told(warnings, run)) if (!quiet || "aux" in message) yield message;
    if (!quiet) for (const text of imports.warnings) yield { stream: `[Warning] ${text}\n` };
    const id = run.imageId;
    for (const reference of references) {
      await engine.storage.images.tag(id, reference);
      const name = familiarReference(parseReference(reference));
      announceImage(engine, "tag", id, name);
    }
    if (quiet) yield { stream: `${id}\n` };
    else {
      yield { stream: `Successfully built ${short(id)}\n` };
      for (const reference of references) {
        const name = familiarReference(parseReference(reference));
        yield { stream: `Successfully tagged ${name}\n` };
      }
    }
  } catch (error) {
    throw signal.aborted ? new GantryError("cancelled", "context canceled") : error;
  } finally {
    stop.abort(new GantryError("cancelled", "the build has ended"));
    await cache?.[Symbol.asyncDispose]();
    // A context of many files takes longer to delete than the build took.
    place.afterwards(clearUp(place, { workspace, lease, opened }));
  }
}

/** `--cache-from`: images that carry their cache, here or in their registries. */
class ClassicImports {
  readonly warnings: string[] = [];

  async open(
    { engine, cache }: ClassicPlace,
    request: BuildRequest,
    { lease, signal }: { lease: Lease; signal: AbortSignal },
  ): Promise<BuildCache & AsyncDisposable> {
    const reporter = new BuildReport((event) => {
      if (event.kind === "warning") this.warnings.push(event.warning.short);
    });
    const job = {
      cacheFrom: request.cacheFrom.map((ref) => ({ type: "image", attrs: { ref } })),
      ...{ cacheTo: [], credentials: credentialsFrom(request.credentials) },
    };
    return await openCacheImports({ engine, cache }, job, { lease, reporter, signal });
  }
}

async function clearUp(
  place: ClassicPlace,
  {
    workspace,
    lease,
    opened,
  }: { workspace: Workspace; lease: Lease; opened: OpenContext | undefined },
): Promise<void> {
  const { log } = place.engine;
  await opened?.release();
  await workspace.dispose().catch((error) => log.warn("Cannot remove a build's files", { error }));
  await lease.release();
  await collectCache(place).catch((error) => log.warn("Cannot collect the build cache", { error }));
}

async function* told(warnings: string[], run: ClassicRun): AsyncGenerator<Progress> {
  for (const warning of warnings) yield { stream: `[Warning] ${warning}\n` };
  yield* run.messages();
  const unused = run.unusedArgs();
  if (unused.length === 0) return;
  const names = `[${unused.join(" ")}]`;
  yield { stream: `[Warning] One or more build-args ${names} were not consumed\n` };
}

interface RunOptions {
  place: ClassicPlace;
  request: BuildRequest;
  plan: BuildPlan;
  workspace: Workspace;
  lease: Lease;
  cache: BuildCache;
  signal: AbortSignal;
}

/** One build under way, told in order. */
class ClassicRun {
  readonly #o: RunOptions;
  readonly #reports = new Map<Vertex, StepReport>();
  readonly #told = new Set<Vertex>();
  readonly #outcomes = new Map<Vertex, StepFacts>();
  #failed: Vertex | undefined;
  #step = 0;
  #total = 0;
  imageId = "";

  constructor(o: RunOptions) {
    this.#o = o;
  }

  async *messages(): AsyncGenerator<Progress> {
    const { plan, signal } = this.#o;
    const stages = plan.needed.map((index) => plan.stages[index]!);
    const own = stages.map(({ instructions }) => instructions.length + 1);
    this.#total = own.reduce((sum, count) => sum + count, plan.file.globalArgs.length);
    for (const { original } of plan.file.globalArgs) yield this.#line(original);
    const first = this.#line(stages[0]!.stage.from.original);
    yield first;
    const pulling = new StepReport();
    const making = this.#graph((message) => pulling.tell(message)).finally(() => pulling.end());
    making.catch(() => {});
    yield* pulling.messages();
    const graph = await making;
    const solving = this.#solve(graph);
    solving.catch(() => {});
    try {
      yield* this.#steps(graph);
      await solving;
      if (graph.target.steps.length > 0) yield { stream: ` ---> ${short(this.imageId)}\n` };
    } catch (error) {
      const reason = await solving.then(
        () => error,
        (failure) => failure,
      );
      yield* this.#lastWords(graph);
      throw signal.aborted ? signal.reason : reason;
    }
  }

  /** Build arguments that nothing declares. */
  unusedArgs(): string[] {
    const { file, buildArgs, stages } = this.#o.plan;
    const instructions = stages.flatMap((stage) =>
      stage.instructions.map((one) => one.instruction),
    );
    const declared = [...file.globalArgs, ...instructions].flatMap((instruction) =>
      instruction.kind === "ARG" ? instruction.args.map(({ name }) => name) : [],
    );
    const known = new Set([...declared, ...PROXY_ARGS, ...BUILDER_ARGS]);
    return Object.keys(buildArgs).filter((name) => !known.has(name));
  }

  async #graph(tell: (message: Progress) => void): Promise<BuildGraph> {
    const { place, lease, request, plan, signal } = this.#o;
    const { pull } = request;
    const credentials = credentialsFrom(request.credentials);
    const images = baseImages({ engine: place.engine, lease, pull, credentials, tell });
    const graph = await makeGraph(plan, images, { signal }).catch((error) => {
      throw withPlace(error);
    });
    // Who gives all steps the host's network may give it to one.
    const isHost = request.hostConfig.NetworkMode === "host";
    checkEntitlements(graph, isHost ? ["network.host"] : []);
    await refuseForeignRuns([graph], place.engine.native);
    refuseFindings(graph);
    return graph;
  }

  async #solve(graph: BuildGraph): Promise<void> {
    const { place, request, workspace, lease, cache, signal, plan } = this.#o;
    const { engine } = place;
    for (const { steps } of graph.stages) {
      for (const { vertex } of steps) if (vertex) this.#reports.set(vertex, new StepReport());
    }
    const worker = new BuildWorker({
      ...{ engine, workspace, lease, cacheMounts: place.cacheMounts },
      contextStore: place.contextStore,
      hostConfig: request.hostConfig,
      hostname: plan.buildArgs["BUILDKIT_SANDBOX_HOSTNAME"] || HOSTNAME,
    });
    const { layers } = await solve(graph.target.top, {
      ...{ worker, cache, signal, noCache: request.noCache, observer: this.#observer() },
      stepsMax: Math.max(STEPS_MIN, availableParallelism()),
    }).finally(async () => {
      await worker.settled();
      for (const report of this.#reports.values()) report.end();
    });
    const epoch = plan.buildArgs["SOURCE_DATE_EPOCH"];
    const raw = assembleConfig(
      {
        ...{ graph, outcomes: this.#outcomes, labels: request.labels, now: new Date() },
        ...(epoch && /^\d{1,12}$/.test(epoch) && { epochSeconds: Number(epoch) }),
      },
      layers,
    );
    this.imageId = await engine.storage.images.put(raw);
  }

  #observer(): SolveObserver {
    const reports = this.#reports;
    return {
      started: () => {},
      done: (vertex, { cached, record, root }) => {
        const isEmpty = record.layer === undefined;
        this.#outcomes.set(vertex, {
          ...{ createdAtMs: record.createdAtMs, layers: root.layers, isEmpty },
        });
        if (cached) reports.get(vertex)?.say(" ---> Using cache\n");
        reports.get(vertex)?.end();
      },
      failed: (vertex, error) => {
        // What the first failure ended is no failure of its own.
        if (!this.#o.signal.aborted && !isCancelled(error)) this.#failed ??= vertex;
        reports.get(vertex)?.end();
      },
      output: (vertex) => ({
        write: (name, chunk) => reports.get(vertex)?.write(name, chunk),
        started: (id) => reports.get(vertex)?.say(` ---> Running in ${id.slice(0, SHORT_ID)}\n`),
        ended: (id) => {
          const text = ` ---> Removed intermediate container ${id.slice(0, SHORT_ID)}\n`;
          reports.get(vertex)?.say(text);
        },
      }),
    };
  }

  #line(text: string): Progress {
    return { stream: `Step ${++this.#step}/${this.#total} : ${text}\n` };
  }

  /** Every step in the order of the file, each when it is done. */
  async *#steps(graph: BuildGraph): AsyncGenerator<Progress> {
    for (const [index, stage] of graph.stages.entries()) {
      if (index > 0) yield this.#line(stage.planned.stage.from.original);
      const base = this.#baseName(graph, stage);
      yield { stream: ` ---> ${short(base)}\n` };
      const triggers = stage.steps.filter(({ step }) => step.isTrigger).length;
      if (triggers > 0) {
        yield { stream: `# Executing ${triggers} build trigger${triggers > 1 ? "s" : ""}\n` };
      }
      yield* this.#stage(graph, stage, base);
    }
  }

  async *#stage(graph: BuildGraph, stage: GraphStage, base: string): AsyncGenerator<Progress> {
    const names = stepNames(stage, this.#outcomes, base);
    this.#total = Math.max(this.#total, this.#step + stage.steps.length);
    for (const [index, { step, vertex }] of stage.steps.entries()) {
      yield this.#line(step.instruction.original);
      if (vertex) {
        // Two stages may have a step in common.
        if (this.#told.has(vertex)) yield { stream: " ---> Using cache\n" };
        this.#told.add(vertex);
        yield* this.#reports.get(vertex)!.messages();
        if (!this.#outcomes.has(vertex)) throw new GantryError("cancelled", "the step has ended");
      }
      const isLast = stage === graph.target && index === stage.steps.length - 1;
      if (!isLast) yield { stream: ` ---> ${short(names(index))}\n` };
    }
  }

  #baseName(graph: BuildGraph, stage: GraphStage): string {
    if (stage.image) return stage.image.id;
    const { base } = stage.planned;
    if (base.kind !== "stage") return "";
    const parent = graph.stages.find(({ planned }) => planned.index === base.index)!;
    const parentBase = this.#baseName(graph, parent);
    if (parent.steps.length === 0) return parentBase;
    return stepNames(parent, this.#outcomes, parentBase)(parent.steps.length - 1);
  }

  /** The step that failed may be one whose turn had not come. */
  *#lastWords(graph: BuildGraph): Generator<Progress> {
    const failed = this.#failed;
    if (failed === undefined) return;
    const steps = graph.stages.flatMap((stage) => stage.steps);
    const words = this.#reports.get(failed)?.taken() ?? [];
    if (words.length === 0) return;
    const step = steps.find(({ vertex }) => vertex === failed)?.step;
    if (step) yield { stream: `${step.label}\n` };
    yield* words;
  }
}

const isCancelled = (error: unknown): boolean =>
  error instanceof GantryError && error.kind === "cancelled";

/** Twelve digits, as docker shows ids. */
function short(id: string): string {
  return id.slice(id.indexOf(":") + 1).slice(0, SHORT_ID);
}
