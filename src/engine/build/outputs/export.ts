// Runs every output of a job, one after the other, over the same results.

import { GantryError } from "../../../base/index.ts";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildJob, BuildReporter, BuiltImage } from "../job.ts";
import type { BuildSession } from "../session.ts";

export interface OutputPlace {
  engine: EngineContext;
}
export interface ExportOptions {
  reporter: BuildReporter;
  /** Where files go that the client takes; default: the job's. */
  session?: BuildSession | undefined;
  /** Keeps what was built, and what exporting makes, until the build has ended. */
  lease: Lease;
  signal: AbortSignal;
  /** The Dockerfile as it was read, for provenance. */
  dockerfile?: { name: string; text: Uint8Array } | undefined;
  /** Build cache that goes with the image (`--cache-to type=inline`): the value of the config's
   * member "moby.buildkit.cache.v0", for each platform ("linux/amd64"). Undefined: none. */
  inlineCache?(image: BuiltImage): Promise<Uint8Array | undefined>;
  startedAtMs?: number | undefined;
}

/** Returns BuildKit's exporter response: "containerimage.digest" and so on. */
export async function exportOutputs(
  _place: OutputPlace,
  job: BuildJob,
  _images: readonly BuiltImage[],
  _o: ExportOptions,
): Promise<Record<string, string>> {
  if (job.outputs.length === 0) return {};
  throw new GantryError("not-implemented", "outputs are not there yet");
}
