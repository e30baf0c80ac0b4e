// Runs every output of a job, one after the other, over the same results. Blobs that were made for
// them go when the last one has ended, but for those that the image store names.

import { GantryError } from "../../../base/index.ts";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildJob, BuildReporter, BuiltImage } from "../job.ts";
import type { BuildSession } from "../session.ts";
import { exportArchive } from "./archive.ts";
import { Attestations } from "./attestations.ts";
import { type Output, parseOutputs } from "./attributes.ts";
import { exportFiles } from "./export-files.ts";
import { exportImage } from "./export-image.ts";
import { LayerForms } from "./layer-forms.ts";
import type { Response } from "./response.ts";
import type { ShapePlace } from "./shape.ts";

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
  /** When the build began; default: its first step. */
  startedAtMs?: number | undefined;
}

/** Returns BuildKit's exporter response: "containerimage.digest" and so on. Commit point: the first
 * output is written. */
export async function exportOutputs(
  { engine }: OutputPlace,
  job: BuildJob,
  images: readonly BuiltImage[],
  o: ExportOptions,
): Promise<Record<string, string>> {
  const outputs = parseOutputs(job);
  if (images.length === 0) throw new GantryError("internal", "there is no result to export");
  const { reporter, lease, signal } = o;
  const forms = new LayerForms(engine, { signal });
  const facts = { ...timesOf(images, o.startedAtMs), dockerfile: o.dockerfile };
  const attestations = new Attestations({ engine, job, reporter, facts, signal });
  const place = { engine, job, images, attestations, forms, lease, signal };
  const needed = new Set<string>();
  const response: Response = {};
  try {
    for (const output of outputs) {
      signal.throwIfAborted();
      const result = await exportOne(place, output, o);
      for (const digest of result?.needed ?? []) needed.add(digest);
      Object.assign(response, result?.response);
    }
  } finally {
    await forms.release(needed);
  }
  return response;
}

async function exportOne(
  place: ShapePlace,
  output: Output,
  { reporter, session = place.job.session }: ExportOptions,
): Promise<{ response: Response; needed: readonly string[] } | undefined> {
  switch (output.kind) {
    case "image":
      return await reporter.step("exporting to image", (vertex) =>
        exportImage(place, output, vertex),
      );
    case "archive": {
      const name = `exporting to ${output.variant === "oci" ? "oci" : "docker"} image format`;
      return await reporter.step(name, (vertex) =>
        exportArchive(place, output, { vertex, session }),
      );
    }
    case "files": {
      const name = `exporting to client ${output.tar ? "tarball" : "directory"}`;
      return await reporter.step(name, (vertex) => exportFiles(place, output, { vertex, session }));
    }
    case "nothing":
      return undefined;
  }
}

function timesOf(
  images: readonly BuiltImage[],
  startedAtMs: number | undefined,
): { startedAtMs: number; completedAtMs: number } {
  const now = Date.now();
  const begun = images.flatMap(({ steps }) => steps.map((step) => step.startedAtMs || now));
  return { startedAtMs: startedAtMs ?? Math.min(now, ...begun), completedAtMs: now };
}
