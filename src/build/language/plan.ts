// Which stages a build needs, and where each of them reads from: FROM, COPY --from and RUN
// --mount=from, by name, by number, as named context or as image. Pure; nothing is pulled here. A
// base image's ONBUILD triggers, known only when its config is, extend the plan (withTriggers).

import { GantryError } from "../../base/index.ts";
import {
  familiarReference,
  formatReference,
  type Platform,
  parseReference,
  readPlatform,
} from "../../spec/index.ts";
import { errorAt } from "./dockerfile-error.ts";
import { parseTrigger } from "./parse.ts";
import { findCycle } from "./plan-cycle.ts";
import { parseMount } from "./run-mount.ts";
import { didYouMean } from "./suggest.ts";
import type { Dockerfile, From, Stage, StageInstruction } from "./syntax-tree.ts";
import { type BuildArgs, expandAt, type GlobalScope, globalScope } from "./variables.ts";

/** Where a step reads from. */
export type Source =
  | { kind: "main" }
  | { kind: "scratch" }
  | { kind: "stage"; index: number }
  | { kind: "context"; name: string }
  | { kind: "image" /** docker.io/library/node:22 */; reference: string; written: string };

export interface PlanOptions {
  buildArgs?: BuildArgs;
  /** Name or number; default: the last stage. */
  target?: string;
  buildPlatform: Platform;
  /** Default: the build platform. */
  targetPlatform?: Platform;
  /** The names of --build-context. */
  namedContexts?: Iterable<string>;
  /** Plan every stage, as the checks do. */
  allStages?: boolean;
}

export interface PlannedStage {
  index: number;
  stage: Stage;
  /** For progress: the name, "stage-1", or "" where the file has one stage only. */
  label: string;
  base: Exclude<Source, { kind: "main" }>;
  /** From FROM --platform; undefined: the target's. */
  platform?: Platform;
  /** The stage is replaced by the named context of its name: its instructions do not run. */
  replaced: boolean;
  /** Triggers of the base first, then the stage's own. */
  instructions: PlannedInstruction[];
  /** Stages that must exist first, in order. */
  dependencies: number[];
}
export interface PlannedInstruction {
  instruction: StageInstruction;
  isTrigger: boolean;
  /** COPY: one; RUN: one for each --mount. */
  sources: Source[];
}

export interface BuildPlan {
  file: Dockerfile;
  globals: GlobalScope;
  buildArgs: BuildArgs;
  buildPlatform: Platform;
  targetPlatform: Platform;
  target: number;
  /** All stages; `needed` says which to build. */
  stages: PlannedStage[];
  /** In the order of the file, which is an order in which they can be built. */
  needed: number[];
  contexts: ReadonlySet<string>;
  /** The stage that a name means, in lower case; a later one of the same name wins. */
  names: Map<string, number>;
}

/** Plans a build. Throws invalid with the place where the file is wrong. */
export function planBuild(file: Dockerfile, options: PlanOptions): BuildPlan {
  const buildArgs = options.buildArgs ?? {};
  const targetPlatform = options.targetPlatform ?? options.buildPlatform;
  const target = findTarget(file, options.target);
  const scope = {
    buildArgs,
    buildPlatform: options.buildPlatform,
    targetPlatform,
    targetStage: file.stages[target]!.from.name ?? "default",
  };
  const plan: BuildPlan = {
    file,
    globals: globalScope(file, scope),
    buildArgs,
    buildPlatform: options.buildPlatform,
    targetPlatform,
    target,
    stages: [],
    needed: [],
    contexts: new Set(options.namedContexts ?? []),
    names: new Map(),
  };
  for (const stage of file.stages) {
    plan.stages.push(planFrom(plan, stage));
    if (stage.from.name !== undefined) plan.names.set(stage.from.name, stage.index);
  }
  for (const planned of plan.stages) addInstructions(plan, planned);
  refuseCycles(plan);
  plan.needed = neededStages(plan, options.allStages ? plan.stages.map(({ index }) => index) : []);
  // What is not built may be wrong.
  for (const index of plan.needed) refuseLater(plan, plan.stages[index]!);
  return plan;
}

function findTarget(file: Dockerfile, wanted: string | undefined): number {
  const { stages } = file;
  if (wanted === undefined || wanted === "") return stages.length - 1;
  const index = stages.findLastIndex(({ from }) => from.name === wanted.toLowerCase());
  if (index >= 0) return index;
  if (/^\d{1,6}$/.test(wanted) && Number(wanted) < stages.length) return Number(wanted);
  const names = stages.flatMap(({ from }) => from.name ?? []);
  const hint = didYouMean(wanted, names);
  const message = `target stage ${JSON.stringify(wanted)} could not be found${hint}`;
  throw new GantryError("invalid", message, { detail: { stages: names } });
}

function planFrom(plan: BuildPlan, stage: Stage): PlannedStage {
  const { from, index } = stage;
  const base = expandAt(plan.file, from, from.base, plan.globals.values).text;
  if (base === "") {
    const remedy = "give the ARG a default, or pass it with --build-arg";
    const message = `base name (${from.base}) should not be blank`;
    throw errorAt({ source: plan.file.source, range: from.range, remedy }, message);
  }
  const platform = platformOf(plan, from);
  const isAlone = plan.file.stages.length === 1;
  const replaced = from.name !== undefined && contextFor(plan, from.name) !== undefined;
  return {
    index,
    stage,
    label: from.name ?? (isAlone ? "" : `stage-${index}`),
    base: replaced ? { kind: "context", name: from.name! } : baseSource(plan, from, base),
    ...(platform === undefined ? {} : { platform }),
    replaced,
    instructions: [],
    dependencies: [],
  };
}

function platformOf(plan: BuildPlan, from: From): Platform | undefined {
  if (from.platform === undefined) return undefined;
  const { source } = plan.file;
  const { text } = expandAt(plan.file, from, from.platform, plan.globals.values);
  if (text === "") {
    const remedy = "declare the ARG before the first FROM, or pass it with --build-arg";
    const message = `empty platform value from expression ${from.platform}`;
    throw errorAt({ source, range: from.range, remedy }, message);
  }
  try {
    return readPlatform(text, plan.buildPlatform);
  } catch (cause) {
    const message = `failed to parse platform ${from.platform}: ${(cause as Error).message}`;
    throw errorAt({ source, range: from.range, cause }, message);
  }
}

/** FROM reads an earlier stage, scratch, a named context or an image. */
function baseSource(plan: BuildPlan, from: From, base: string): PlannedStage["base"] {
  const earlier = plan.names.get(base.toLowerCase());
  if (earlier !== undefined) return { kind: "stage", index: earlier };
  if (base === "scratch") return { kind: "scratch" };
  return imageSource(plan, from, base);
}

function imageSource(
  plan: BuildPlan,
  at: { range: From["range"] },
  name: string,
): Exclude<Source, { kind: "main" }> {
  const context = contextFor(plan, name);
  if (context !== undefined) return { kind: "context", name: context };
  try {
    return { kind: "image", reference: formatReference(parseReference(name)), written: name };
  } catch (cause) {
    const names = plan.file.stages.flatMap(({ from }) => from.name ?? []);
    const hint = didYouMean(name, names);
    const why = (cause as Error).message;
    const message = `failed to parse stage name ${JSON.stringify(name)}: ${why}${hint}`;
    throw errorAt({ source: plan.file.source, range: at.range, cause }, message);
  }
}

/** The named context that stands for `name`: "alpine" also stands for docker.io's alpine:latest. */
function contextFor(plan: BuildPlan, name: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower === "scratch" || lower === "context") return undefined;
  if (plan.contexts.has(name)) return name;
  if (plan.contexts.has(lower)) return lower;
  try {
    const familiar = familiarReference(parseReference(name));
    const short = familiar.replace(/:latest$/, "");
    return [familiar, short].find((candidate) => plan.contexts.has(candidate));
  } catch {
    return undefined; // no image's name, so no context overrides it
  }
}

function addInstructions(plan: BuildPlan, planned: PlannedStage): void {
  if (planned.replaced) return;
  const parent = planned.base.kind === "stage" ? plan.stages[planned.base.index] : undefined;
  const triggers = (parent?.stage.instructions ?? []).flatMap((instruction) =>
    instruction.kind === "ONBUILD"
      ? [{ ...instruction.trigger, range: planned.stage.from.range }]
      : [],
  );
  planned.instructions = [
    ...triggers.map((instruction) => planInstruction(plan, instruction, true)),
    ...planned.stage.instructions.map((own) => planInstruction(plan, own, false)),
  ];
  planned.dependencies = dependenciesOf(planned);
}

function planInstruction(
  plan: BuildPlan,
  instruction: StageInstruction,
  isTrigger: boolean,
): PlannedInstruction {
  return { instruction, isTrigger, sources: sourcesOf(plan, instruction) };
}

function sourcesOf(plan: BuildPlan, instruction: StageInstruction): Source[] {
  if (instruction.kind === "COPY") {
    const { from } = instruction;
    return [from === undefined ? { kind: "main" } : findSource(plan, instruction, from)];
  }
  if (instruction.kind === "ADD") return [{ kind: "main" }];
  if (instruction.kind !== "RUN") return [];
  return instruction.mounts.map((text) => {
    const from = mountFrom(text);
    return from === undefined ? { kind: "main" } : findSource(plan, instruction, from);
  });
}

/** `from` never holds variables, so it is known before they are. */
function mountFrom(text: string): string | undefined {
  const field = text.split(",").find((part) => /^from=./i.test(part));
  if (field !== undefined || !text.includes('"')) return field?.slice("from=".length);
  const mount = parseMount(text, (word) => word);
  return "from" in mount ? mount.from : undefined;
}

function findSource(plan: BuildPlan, at: StageInstruction, name: string): Source {
  const { stages } = plan;
  const named = plan.names.get(name.toLowerCase());
  if (named !== undefined) return { kind: "stage", index: named };
  if (/^\d{1,9}$/.test(name)) {
    if (Number(name) < stages.length) return { kind: "stage", index: Number(name) };
    const remedy = `the file has the stages 0 to ${stages.length - 1}`;
    const message = `invalid stage index ${Number(name)}`;
    throw errorAt({ source: plan.file.source, range: at.range, remedy }, message);
  }
  if (name === "scratch") return { kind: "scratch" };
  return imageSource(plan, at, name);
}

function dependenciesOf(planned: PlannedStage): number[] {
  const sources = [planned.base, ...planned.instructions.flatMap(({ sources: all }) => all)];
  const stages = sources.flatMap((source) => (source.kind === "stage" ? source.index : []));
  return [...new Set(stages)].sort((a, b) => a - b);
}

function refuseCycles(plan: BuildPlan): void {
  const cycle = findCycle(plan.stages.map(({ dependencies }) => dependencies));
  if (cycle === undefined) return;
  const first = plan.stages[cycle[0]!]!;
  const next = cycle[1] ?? cycle[0]!;
  const at = first.instructions.find(({ sources }) =>
    sources.some((source) => source.kind === "stage" && source.index === next),
  );
  const range = at?.instruction.range ?? first.stage.from.range;
  const names = [...cycle, cycle[0]!].map((index) => nameOf(plan.stages[index]!));
  const remedy = `the stages need each other: ${names.join(" → ")}`;
  const message = `circular dependency detected on stage: ${nameOf(first)}`;
  throw errorAt({ source: plan.file.source, range, remedy }, message);
}

function refuseLater(plan: BuildPlan, planned: PlannedStage): void {
  for (const { instruction, sources } of planned.instructions) {
    const later = sources.find(
      (source) => source.kind === "stage" && source.index > planned.index,
    ) as { index: number } | undefined;
    if (later === undefined) continue;
    const from = JSON.stringify(nameOf(plan.stages[later.index]!));
    const own = JSON.stringify(nameOf(planned));
    const message =
      instruction.kind === "RUN"
        ? `cannot mount from stage ${from}, stage needs to be defined before current command`
        : `cannot copy from stage ${from}, it needs to be defined before current stage ${own}`;
    const remedy = `move the stage ${from} above line ${planned.stage.from.range.start.line}`;
    throw errorAt({ source: plan.file.source, range: instruction.range, remedy }, message);
  }
}

function nameOf({ label, index }: PlannedStage): string {
  return label || `stage-${index}`;
}

function neededStages(plan: BuildPlan, more: number[]): number[] {
  const needed = new Set<number>();
  const open = [plan.target, ...more];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    if (needed.has(index)) continue;
    needed.add(index);
    open.push(...plan.stages[index]!.dependencies);
  }
  return [...needed].sort((a, b) => a - b);
}

/**
 * The plan with the ONBUILD triggers that a stage's base image brought. The stages that they read
 * from are needed too. Throws invalid when a trigger cannot be read.
 */
export function withTriggers(
  plan: BuildPlan,
  index: number,
  expressions: readonly string[],
): BuildPlan {
  if (expressions.length === 0) return plan;
  const planned = plan.stages[index]!;
  const { range } = planned.stage.from;
  const added = expressions.map((expression) => {
    const instruction = readTrigger(plan, planned, expression);
    return planInstruction(plan, { ...instruction, range }, true);
  });
  const changed = { ...planned, instructions: [...added, ...planned.instructions] };
  changed.dependencies = dependenciesOf(changed);
  const next = { ...plan, stages: plan.stages.with(index, changed) };
  refuseCycles(next);
  refuseLater(next, changed);
  return { ...next, needed: neededStages(next, plan.needed) };
}

function readTrigger(plan: BuildPlan, planned: PlannedStage, text: string): StageInstruction {
  try {
    return parseTrigger(text);
  } catch (cause) {
    const message = `ONBUILD trigger of the base image: ${(cause as Error).message}`;
    const { range } = planned.stage.from;
    throw errorAt({ source: plan.file.source, range, cause }, message);
  }
}
