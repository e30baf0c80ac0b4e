// Build arguments that no ARG of what is built asks for: mostly a misspelled name.

import type { BuildPlan } from "./plan.ts";
import { didYouMean } from "./suggest.ts";
import { BUILDER_ARGS, PROXY_ARGS } from "./variables.ts";

export interface UnusedArgs {
  names: string[];
  /** In docker's words, with the names that were probably meant. */
  warning: string;
}

/** Undefined when every build argument has a use. */
export function unusedBuildArgs(plan: BuildPlan): UnusedArgs | undefined {
  const declared = new Set(plan.globals.declared);
  for (const index of plan.needed) {
    for (const { instruction } of plan.stages[index]!.instructions) {
      if (instruction.kind !== "ARG") continue;
      for (const { name } of instruction.args) declared.add(name);
    }
  }
  const known = new Set([...plan.globals.values.keys(), ...BUILDER_ARGS, ...PROXY_ARGS]);
  const names = Object.keys(plan.buildArgs).filter(
    (name) => !declared.has(name) && !known.has(name),
  );
  if (names.length === 0) return undefined;
  const shown = names.map((name) => name + didYouMean(name, declared)).join(" ");
  return { names, warning: `[Warning] One or more build-args [${shown}] were not consumed` };
}
