// One build, whatever door it came through: the Dockerfile and what it needs of the contexts, its
// base images, the steps, the image of each platform, the outputs. Everything is told to a report;
// whoever asked renders it. Commit point: the first output is written.

import { availableParallelism } from "node:os";
import { GantryError } from "../../base/index.ts";
import {
  type BuildCache,
  type BuildGraph,
  type ResolvedImage,
  type Root,
  solveAll,
  type Vertex,
} from "../../build/index.ts";
import { digestOf, type Platform } from "../../spec/index.ts";
import type { Lease } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { assembleConfig } from "./assemble.ts";
import {
  checkCacheExports,
  exportCache,
  openCacheImports,
  wantsInlineCache,
  withInlineCache,
} from "./cache/index.ts";
import type { CacheMounts } from "./cache-mounts.ts";
import type { CacheStore } from "./cache-store.ts";
import { type ContextStore, gitSecrets } from "./contexts/index.ts";
import type { KeptSteps } from "./failed-steps.ts";
import { statementsFor } from "./history-statements.ts";
import type { BuildJob, BuildOutcome, BuildWarning, BuiltImage, Material } from "./job.ts";
import { excludesOf, JobContexts } from "./job-contexts.ts";
import { readJobFile } from "./job-file.ts";
import { type JobGraphs, makeJobGraphs } from "./job-graph.ts";
import { missingHint } from "./missing-hint.ts";
import { neededPaths } from "./needed-paths.ts";
import { checkOutputs, exportOutputs } from "./outputs/index.ts";
import { collectCache } from "./prune.ts";
import { BuildReport } from "./report.ts";
import { StepReports } from "./report-steps.ts";
import type { LeftStep } from "./run.ts";
import type { StepMemories } from "./step-memory.ts";
import { answerRequest, describeRequests, isDescribe } from "./subrequests.ts";
import { BuildWorker } from "./worker.ts";
import { Workspace } from "./workspace.ts";

const STEPS_MIN = 2;
/** BuildKit's name of the machine that steps see. */
const HOSTNAME = "buildkitsandbox";

export interface BuildPlace {
  engine: EngineContext;
  cache: CacheStore;
  cacheMounts: CacheMounts;
  contextStore: ContextStore;
  stepMemories: StepMemories;
  keptSteps: KeptSteps;
  /** Nobody waits for this but the end of the engine. */
  afterwards(work: Promise<void>): void;
}

/** What the parts of one build share while it runs. */
export interface JobRun {
  place: BuildPlace;
  job: BuildJob;
  report: BuildReport;
  workspace: Workspace;
  lease: Lease;
  contexts: JobContexts;
  signal: AbortSignal;
  /** The first step that failed, with --debug. */
  left?: { step: LeftStep; vertex: string; name: string };
}

/** Runs a job to its end; what it took is released when this returns or soon after. */
export async function runJob(
  place: BuildPlace,
  job: BuildJob,
  report: BuildReport,
  o: { signal: AbortSignal },
): Promise<BuildOutcome> {
  checkOutputs(job);
  checkCacheExports(job);
  return await withRun(place, job, { ...o, report }, build);
}

/** Answers a subrequest: the Dockerfile is read, nothing is built. */
export async function askJob(
  place: BuildPlace,
  name: string,
  job: BuildJob,
  o: { signal: AbortSignal },
): Promise<Record<string, string>> {
  if (isDescribe(name)) return describeRequests();
  const report = new BuildReport();
  return await withRun(place, job, { ...o, report }, async ({ contexts }) => {
    const file = await readJobFile(job, contexts, report);
    return answerRequest(place.engine, name, job, { ...file, ignore: await file.ignore });
  });
}

async function withRun<T>(
  place: BuildPlace,
  job: BuildJob,
  { report, signal }: { report: BuildReport; signal: AbortSignal },
  work: (run: JobRun) => Promise<T>,
): Promise<T> {
  const { engine } = place;
  const stop = new AbortController();
  const signals = AbortSignal.any([signal, stop.signal, engine.closing.signal]);
  const lease = engine.storage.lease();
  const workspace = await Workspace.make(engine);
  const contexts = openContexts({ place, job, report, workspace, lease, signal: signals });
  const run: JobRun = { place, job, report, workspace, lease, contexts, signal: signals };
  try {
    return await work(run);
  } catch (error) {
    throw signals.aborted ? abortReason(signal) : error;
  } finally {
    stop.abort(new GantryError("cancelled", "the build has ended"));
    // A context of many files takes longer to delete than the build took.
    if (run.left === undefined) place.afterwards(clearUp(run));
    else keepLeft(run, run.left);
  }
}

/** What a failed step needs stays until somebody lets go of it. */
function keepLeft(run: JobRun, { step, vertex, name }: NonNullable<JobRun["left"]>): void {
  const { place, job, workspace } = run;
  const { args, exitCode } = step;
  const about = { ref: job.ref, vertex, name, args, exitCode };
  const until = job.session?.closed;
  place.keptSteps.keep({ ...about, left: step, workspace, until, release: () => clearUp(run) });
}

function abortReason(signal: AbortSignal): unknown {
  if (signal.reason instanceof GantryError) return signal.reason;
  return new GantryError("cancelled", "context canceled");
}

async function clearUp({ place, workspace, lease, contexts }: JobRun): Promise<void> {
  const { log } = place.engine;
  await contexts
    .release()
    .catch((error) => log.warn("Cannot release a build's contexts", { error }));
  await workspace.dispose().catch((error) => log.warn("Cannot remove a build's files", { error }));
  await lease.release();
  await collectCache(place).catch((error) => log.warn("Cannot collect the build cache", { error }));
}

function openContexts(run: Omit<JobRun, "contexts">): JobContexts {
  const { place, job, report, workspace, lease, signal } = run;
  const contextPlace = {
    ...{ engine: place.engine, workspace, store: place.contextStore, lease },
    ...gitSecrets(job.session),
  };
  return new JobContexts(contextPlace, job, { report, signal });
}

async function build(run: JobRun): Promise<BuildOutcome> {
  const { place, job, report, contexts, lease, signal } = run;
  const startedAtMs = Date.now();
  const file = await readJobFile(job, contexts, report);
  const made = await makeJobGraphs(
    {
      ...{ engine: place.engine, lease, contexts, report, signal },
      build: (other, platform) => buildLinked(run, other, platform),
    },
    job,
    file,
  );
  await announceNeeds(run, made);
  const cacheOptions = { lease, reporter: report, signal };
  await using cache = await openCacheImports(place, job, cacheOptions);
  const images = await solveJob(run, made, cache);
  const dockerfile = { name: file.name, text: file.bytes };
  const outputs = {
    reporter: report,
    session: job.session,
    lease,
    signal,
    dockerfile,
    startedAtMs,
  };
  const metadata = await exportOutputs({ engine: place.engine }, job, images, outputs);
  Object.assign(metadata, await exportCache(place, job, images, cacheOptions));
  const facts = { startedAtMs, completedAtMs: Date.now(), dockerfile };
  const statements = job.isInternal ? [] : statementsFor(job, images, facts);
  return { images, metadata, statements, warnings: warningsOf(report) };
}

/** Another job's image as a base or a source of this one's: its steps are found in the cache, or
 * made once for both when the two run side by side. */
async function buildLinked(
  { place, report, lease, signal }: JobRun,
  job: BuildJob,
  platform: Platform,
): Promise<ResolvedImage> {
  const alone = { ...job, platforms: [platform], cacheTo: [], outputs: [], attest: new Map() };
  const { images } = await runJob(place, alone, report, { signal });
  const [image] = images;
  if (!image) throw new GantryError("internal", "a linked build made no image");
  for (const layer of image.layers) lease.add(layer);
  const document = JSON.parse(Buffer.from(image.config).toString("utf8"));
  return { document, root: { layers: image.layers }, id: image.id };
}

function warningsOf(report: BuildReport): BuildWarning[] {
  return report.events().flatMap((event) => (event.kind === "warning" ? event.warning : []));
}

/** What has to come of each context: only what the graphs can read. */
async function announceNeeds({ contexts }: JobRun, made: JobGraphs): Promise<void> {
  const { graphs } = made;
  for (const [name, followPaths] of neededPaths(graphs)) {
    const ignore = name === "" ? made.ignore : await contexts.ownIgnore(name);
    contexts.need(name, { followPaths, exclude: excludesOf(ignore) });
  }
}

async function solveJob(run: JobRun, made: JobGraphs, cache: BuildCache): Promise<BuiltImage[]> {
  const { place, job, report, contexts, signal } = run;
  const { graphs, images } = made;
  const { engine, cacheMounts } = place;
  const { workspace, lease } = run;
  const memory = place.stepMemories.forBuild(job, { workspace, signal });
  const reports = new StepReports(graphs, contexts, {
    ...{ report, signal, baseDigest: (stage) => images.digestOf(stage) },
    explain: (vertex, placed, lookup) => memory.look(vertex, placed, lookup),
  });
  const left: LeftStep[] = [];
  const worker = new BuildWorker({
    ...{ engine, workspace, lease, cacheMounts, contexts, hostConfig: job.hostConfig },
    contextStore: place.contextStore,
    ...(job.session && { session: job.session }),
    ...(job.keepFailed && { keepFailed: (step: LeftStep) => void left.push(step) }),
    hostname: job.buildArgs["BUILDKIT_SANDBOX_HOSTNAME"] || HOSTNAME,
  });
  const tops = graphs.map(({ target }) => target.top);
  try {
    const roots = await solveAll(tops, {
      ...{ worker, cache, signal, observer: reports, noCache: freshSteps(job, graphs) },
      stepsMax: Math.max(STEPS_MIN, availableParallelism()),
    });
    const materials = [...images.materials(), ...(await contexts.materials())];
    return graphs.map((graph, index) =>
      builtImage(job, { graph, root: roots[index]!, reports, materials }),
    );
  } catch (error) {
    const { failure } = reports;
    await keepFirst(run, left, failure?.vertex);
    throw failure ? await hinted(run, reports, failure) : error;
  } finally {
    await worker.settled();
    await memory.keep(reports).catch((error) => {
      engine.log.warn("Cannot remember the steps of a build", { error });
    });
  }
}

/** The error of the step that failed, with what was probably meant. */
async function hinted(
  { contexts, signal }: JobRun,
  reports: StepReports,
  { vertex, error }: NonNullable<StepReports["failure"]>,
): Promise<unknown> {
  const explained = reports.explained(vertex, error);
  if (!(explained instanceof GantryError)) return explained;
  const { kind, message, detail } = explained;
  const source = (name: string) => contexts.source(name);
  const hint = await missingHint(vertex, message, { source, signal });
  if (hint === "") return explained;
  return new GantryError(kind, `${message}${hint}`, { cause: explained, detail });
}

/** Of several steps that failed the one that is shown is kept. */
async function keepFirst(run: JobRun, left: LeftStep[], vertex: Vertex | undefined): Promise<void> {
  const { operation } = vertex ?? {};
  const kept = left.find(({ args }) => operation?.kind === "run" && operation.args === args);
  for (const other of left) if (other !== kept) await other.undo.undo().catch(() => {});
  if (kept && vertex) run.left = { step: kept, vertex: vertex.identity, name: vertex.label };
}

/** --no-cache, or --no-cache-filter with the names of stages. */
function freshSteps(
  { noCache }: BuildJob,
  graphs: readonly BuildGraph[],
): boolean | ((vertex: Vertex) => boolean) {
  if (typeof noCache === "boolean") return noCache;
  const names = new Set(noCache.map((name) => name.toLowerCase()));
  const fresh = new Set(
    graphs.flatMap(({ stages }) =>
      stages
        .filter(({ planned }) => names.has(planned.stage.from.name ?? String(planned.index)))
        .flatMap(({ steps }) => steps.flatMap(({ vertex }) => vertex ?? [])),
    ),
  );
  return (vertex) => fresh.has(vertex);
}

interface BuiltParts {
  graph: BuildGraph;
  root: Root;
  reports: StepReports;
  materials: readonly Material[];
}

function builtImage(job: BuildJob, { graph, root, reports, materials }: BuiltParts): BuiltImage {
  const epoch = job.buildArgs["SOURCE_DATE_EPOCH"];
  const assembled = assembleConfig(
    {
      ...{ graph, outcomes: reports.outcomes, labels: job.labels, now: new Date() },
      ...(epoch && /^\d{1,12}$/.test(epoch) && { epochSeconds: Number(epoch) }),
    },
    root.layers,
  );
  const steps = reports.built(graph);
  const { layers } = root;
  const config = wantsInlineCache(job) ? withInlineCache(assembled, steps, layers) : assembled;
  const platform: Platform = graph.target.evaluated.platform;
  return { platform, config, id: digestOf(config), layers, steps, materials };
}
