// One build, whatever door it came through: the Dockerfile and what it needs of the contexts, its
// base images, the steps, the image of each platform, the outputs. Everything is told to a report;
// whoever asked renders it. Commit point: the first output is written.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { CacheMounts } from "./cache-mounts.ts";
import type { CacheStore } from "./cache-store.ts";
import type { BuildJob, BuildOutcome } from "./job.ts";
import type { BuildReport } from "./report.ts";

export interface BuildPlace {
  engine: EngineContext;
  cache: CacheStore;
  cacheMounts: CacheMounts;
  /** Nobody waits for this but the end of the engine. */
  afterwards(work: Promise<void>): void;
}

/** Runs a job to its end. */
export async function runJob(
  _place: BuildPlace,
  _job: BuildJob,
  _report: BuildReport,
  _o: { signal: AbortSignal },
): Promise<BuildOutcome> {
  throw new GantryError("not-implemented", "builds of this kind are being made");
}
