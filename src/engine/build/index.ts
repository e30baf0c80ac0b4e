// The verbs of building as the doors see them.

import { randomBytes } from "node:crypto";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Progress, PruneItem } from "../contract.ts";
import { type BuildCacheUsage, cacheUsage } from "./cache/cache-entries.ts";
import { cacheMountVerbs } from "./cache/mount-verbs.ts";
import { CacheMounts } from "./cache-mounts.ts";
import { CacheStore } from "./cache-store.ts";
import { classicBuild } from "./classic.ts";
import { openContextStore } from "./contexts/index.ts";
import type { BuildRequest, Builds, CachePruneOptions } from "./contract.ts";
import { KeptSteps } from "./failed-steps.ts";
import { runnablePlatforms } from "./foreign-platform.ts";
import { BuildRecords } from "./history.ts";
import type { BuildJob, BuildOutcome } from "./job.ts";
import { gcPolicy, planCachePrune, pruneCache } from "./prune.ts";
import { BuildReport } from "./report.ts";
import { askJob, type BuildPlace, runJob } from "./run-job.ts";
import { clearGifts } from "./run-session.ts";
import { RunningBuilds } from "./running-builds.ts";
import { StepMemories } from "./step-memory.ts";
import { clearWorkspaces } from "./workspace.ts";

export interface BuildVerbs extends Builds {
  /** For `system df`. */
  usage(): Promise<BuildCacheUsage[]>;
  /** What prune() would remove. */
  planPrune(o?: CachePruneOptions): Promise<PruneItem[]>;
  /** Resolves when no build runs; `engine.closing` has ended them. */
  idle(): Promise<void>;
}

/** To be called before garbage is collected: the cache keeps its layers from then on. */
export function openCache(engine: Pick<EngineContext, "storage">): CacheStore {
  return new CacheStore(engine.storage);
}

export async function buildVerbs(engine: EngineContext, cache: CacheStore): Promise<BuildVerbs> {
  await clearWorkspaces(engine);
  await clearGifts(engine);
  const cacheMounts = new CacheMounts(engine);
  const running = new RunningBuilds();
  const contextStore = await openContextStore(engine);
  const keptSteps = new KeptSteps(engine, (work) => running.afterwards(work));
  const history = new BuildRecords(engine, (work) => running.afterwards(work));
  const place = {
    engine,
    cache,
    cacheMounts,
    contextStore,
    stepMemories: new StepMemories(engine),
    keptSteps,
    afterwards: (work: Promise<void>) => running.afterwards(work),
  };
  const untilClosed = (signal: AbortSignal | undefined) =>
    signal ? AbortSignal.any([signal, engine.closing.signal]) : engine.closing.signal;
  return {
    build: (request, o) => classic(place, running, request, o?.signal),
    solve: async (job, o = {}) => {
      checkGranted(engine, job);
      const report = new BuildReport(o.tell);
      return await running.run(job.ref, report, async (cancelled) => {
        const signal = o.signal ? AbortSignal.any([o.signal, cancelled]) : cancelled;
        const work = () => runJob(place, job, report, { signal });
        if (!job.isInternal) return await recorded(history, job, report, work);
        return await work().finally(() => report.end());
      });
    },
    follow: async function* (ref, o) {
      const told = running.get(ref) ? undefined : await history.events(ref);
      if (told) return yield* told;
      const { report } = await running.begun(ref, untilClosed(o?.signal));
      if (!report) throw new GantryError("not-found", `the build ${ref} tells its own client only`);
      yield* report.follow(o?.signal);
    },
    cancel: (ref) => running.cancel(ref),
    subrequest: async (name, job, o) =>
      await askJob(place, name, job, { signal: o?.signal ?? engine.closing.signal }),
    history,
    failures: keptSteps,
    prune: async (o) => {
      const result = await pruneCache(place, o);
      const reclaimed = String(result.spaceReclaimed);
      engine.bus.publish("builder", "prune", "", { reclaimed });
      return result;
    },
    planPrune: (o) => planCachePrune(place, o),
    platforms: () => runnablePlatforms(engine.native),
    gcPolicy: () => gcPolicy(engine),
    usage: async () => await cacheUsage(place),
    cacheMounts: cacheMountVerbs(cacheMounts),
    idle: async () => {
      await running.idle();
      await contextStore.close();
      await cacheMounts.settled();
    },
  };
}

/** What daemon.json lets nobody ask for. */
function checkGranted({ options }: EngineContext, { entitlements }: BuildJob): void {
  const granted = options.builder?.entitlements;
  const refused = granted && entitlements.find((name) => !granted.includes(name.split("=")[0]!));
  if (!refused) return;
  const message = `granting entitlement ${refused} is not allowed by build daemon configuration`;
  throw new GantryError("forbidden", message);
}

/** A job in the history, from its beginning to its end. */
async function recorded(
  history: BuildRecords,
  job: BuildJob,
  report: BuildReport,
  work: () => Promise<BuildOutcome>,
): Promise<BuildOutcome> {
  history.begin(job, report);
  try {
    const outcome = await work();
    report.end();
    history.finish(job.ref, { outcome });
    return outcome;
  } catch (error) {
    report.end();
    history.finish(job.ref, { error });
    throw error;
  }
}

async function* classic(
  place: BuildPlace,
  running: RunningBuilds,
  request: BuildRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Progress> {
  const id = request.buildId || randomBytes(16).toString("hex");
  const build = running.enter(id);
  const signals = signal ? AbortSignal.any([signal, build.signal]) : build.signal;
  try {
    yield* classicBuild(place, request, { signal: signals });
  } finally {
    build.leave();
  }
}
