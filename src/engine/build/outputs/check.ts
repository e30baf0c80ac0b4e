// Refuses what no exporter can do before anything is built.

import { GantryError } from "../../../base/index.ts";
import type { BuildJob } from "../job.ts";
import { checkAttestations } from "./attestations.ts";
import { parseOutputs } from "./attributes.ts";

/** Throws invalid or not-implemented for an unknown exporter, attribute or combination, naming what
 * is allowed. */
export function checkOutputs(job: BuildJob): void {
  checkAttestations(job);
  const severalPlatforms = job.platforms.length > 1;
  for (const output of parseOutputs(job)) {
    if (output.kind === "nothing" || output.kind === "files") continue;
    const { form } = output;
    if (form.rewriteTimestamp && form.epochSeconds === undefined) {
      throw new GantryError("invalid", "rewrite-timestamp needs SOURCE_DATE_EPOCH");
    }
    if (output.kind !== "archive" || output.variant !== "docker") continue;
    if (severalPlatforms) {
      const message =
        "docker exporter does not support exporting manifest lists, use the oci exporter instead";
      throw new GantryError("invalid", message);
    }
  }
}
