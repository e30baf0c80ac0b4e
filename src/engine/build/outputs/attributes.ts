// What the attributes of `--output` mean.

import type { BuildJob } from "../job.ts";

export function parseOutputs(_job: BuildJob): void {}
