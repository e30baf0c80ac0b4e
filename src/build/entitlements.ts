// What a Dockerfile may not ask for unless whoever starts the build allowed it: the network of the
// host, and steps without confinement. Looked at before anything runs, so that neither a cached
// step nor a later one slips by.

import { GantryError } from "../base/index.ts";
import type { BuildGraph } from "./graph.ts";
import { errorAt } from "./language/dockerfile-error.ts";

const NAMES = {
  host: "network.host",
  insecure: "security.insecure",
} as const;

/** Throws forbidden, in BuildKit's words, at the first step that needs what was not allowed. */
export function checkEntitlements(graph: BuildGraph, allowed: readonly string[]): void {
  for (const { steps } of graph.stages) {
    for (const { step } of steps) {
      if (step.kind !== "run") continue;
      const needed = [
        ...(step.network === "host" ? [NAMES.host] : []),
        ...(step.security === "insecure" ? [NAMES.insecure] : []),
      ];
      const missing = needed.find((name) => !allowed.includes(name));
      if (missing === undefined) continue;
      const { range } = step.instruction;
      const remedy = `allow it with --allow ${missing}`;
      const place = { source: graph.plan.file.source, range, remedy };
      const refused = errorAt(place, `${missing} is not allowed`);
      throw new GantryError("forbidden", refused.message, {
        cause: refused,
        detail: refused.detail,
      });
    }
  }
}
