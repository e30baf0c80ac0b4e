// Refuses what no exporter can do before anything is built.

import type { BuildJob } from "../job.ts";
import { parseOutputs } from "./attributes.ts";

/** Throws invalid for an unknown exporter, attribute or combination, naming what is allowed. */
export function checkOutputs(job: BuildJob): void {
  parseOutputs(job);
}
