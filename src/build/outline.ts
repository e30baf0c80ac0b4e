// What a Dockerfile offers and asks for, without building it: its targets, and for one of them the
// build arguments, secrets, ssh agents and cache mounts. A comment above a stage or an ARG that
// begins with its name describes it.

import type { ImageConfigDocument } from "../spec/index.ts";
import { evaluateStage, type StageBase } from "./language/evaluate-stage.ts";
import type { BuildPlan, Source } from "./language/plan.ts";
import type { SourceRange } from "./language/source.ts";
import type { EvaluatedStage } from "./language/steps.ts";
import type { Dockerfile, From } from "./language/syntax-tree.ts";

export interface OutlineArg {
  name: string;
  description?: string;
  value?: string;
  range: SourceRange;
}
export interface OutlineNeed {
  name: string;
  required: boolean;
  range: SourceRange;
}
export interface Outline {
  name?: string;
  description?: string;
  args: OutlineArg[];
  secrets: OutlineNeed[];
  ssh: OutlineNeed[];
  caches: { id: string; range: SourceRange }[];
}
export interface TargetSummary {
  name?: string;
  isDefault: boolean;
  description?: string;
  base: string;
  platform?: string;
  range: SourceRange;
}

/** The stages of a file, in their order. */
export function targetsOf({ stages }: Dockerfile): TargetSummary[] {
  return stages.map(({ from, index }) => ({
    ...named(from),
    ...{ isDefault: index === stages.length - 1, base: from.base, range: from.range },
    ...(from.platform !== undefined && { platform: from.platform }),
  }));
}

function named({ name, writtenName, comments }: From): { name?: string; description?: string } {
  if (name === undefined) return {};
  const description = describe(comments, writtenName ?? name);
  return { name, ...(description !== undefined && { description }) };
}

/** "NAME does this and that" above it says "does this and that". */
function describe(comments: readonly string[], name: string): string | undefined {
  const own = comments.find((comment) =>
    comment.toLowerCase().startsWith(`${name.toLowerCase()} `),
  );
  return own?.slice(name.length + 1).trim();
}

/** What the plan's target takes. `baseOf`: the config of an image, where it is known. */
export function outlineOf(
  plan: BuildPlan,
  baseOf: (source: Source) => ImageConfigDocument | undefined,
): Outline {
  const stages = evaluateAll(plan, baseOf);
  const needs = needsOf(stages);
  return { ...named(plan.file.stages[plan.target]!.from), args: argsOf(plan, stages), ...needs };
}

function evaluateAll(
  plan: BuildPlan,
  baseOf: (source: Source) => ImageConfigDocument | undefined,
): EvaluatedStage[] {
  const done = new Map<number, EvaluatedStage>();
  for (const index of plan.needed) {
    const { base } = plan.stages[index]!;
    const document = base.kind === "stage" ? undefined : baseOf(base);
    let from: StageBase = document ? { kind: "image", document } : { kind: "scratch" };
    if (base.kind === "stage") from = { kind: "stage", stage: done.get(base.index)! };
    done.set(index, evaluateStage(plan, index, from));
  }
  return [...done.values()];
}

/** Those of the needed stages, and global ones that a FROM uses. */
function argsOf(plan: BuildPlan, stages: readonly EvaluatedStage[]): OutlineArg[] {
  const found = new Map<string, OutlineArg>();
  const froms = plan.needed.map((index) => plan.file.stages[index]!.from);
  const written = froms.map(({ base, platform = "" }) => `${base} ${platform}`).join(" ");
  const isUsed = (name: string) => new RegExp(`\\$\\{?${name}\\b`).test(written);
  const add = (name: string, value: string | undefined, at: ArgPlace) => {
    if (found.has(name)) return;
    const description = describe(at.comments, name);
    const about = { ...(value && { value }), ...(description && { description }) };
    found.set(name, { name, ...about, range: at.range });
  };
  const declared = new Set(
    stages.flatMap(({ inherited }) => inherited.args.map(({ name }) => name)),
  );
  for (const instruction of plan.file.globalArgs) {
    for (const { name } of instruction.args) {
      const value = plan.globals.values.get(name);
      if (isUsed(name) || declared.has(name)) add(name, value, instruction);
    }
  }
  for (const { steps, inherited } of stages) {
    for (const { instruction } of steps) {
      if (instruction.kind !== "ARG") continue;
      for (const { name } of instruction.args) {
        add(name, inherited.args.findLast((arg) => arg.name === name)?.value, instruction);
      }
    }
  }
  return [...found.values()].sort(inOrder);
}

type ArgPlace = { comments: readonly string[]; range: SourceRange };
type Placed = { range: SourceRange };
const inOrder = (a: Placed, b: Placed): number => a.range.start.line - b.range.start.line;

function needsOf(stages: readonly EvaluatedStage[]): Pick<Outline, "secrets" | "ssh" | "caches"> {
  const secrets = new Map<string, OutlineNeed>();
  const ssh = new Map<string, OutlineNeed>();
  const caches = new Map<string, { id: string; range: SourceRange }>();
  for (const step of stages.flatMap((stage) => stage.steps)) {
    if (step.kind !== "run") continue;
    const { range } = step.instruction;
    for (const { mount } of step.mounts) {
      if (mount.type === "cache") {
        const id = mount.id ?? mount.target;
        if (!caches.has(id)) caches.set(id, { id, range });
      }
      if (mount.type !== "secret" && mount.type !== "ssh") continue;
      const needs = mount.type === "ssh" ? ssh : secrets;
      const known = needs.get(mount.id);
      const required = mount.required || known?.required === true;
      needs.set(mount.id, { name: mount.id, required, range: known?.range ?? range });
    }
  }
  const sorted = <T extends Placed>(map: Map<string, T>) => [...map.values()].sort(inOrder);
  return { secrets: sorted(secrets), ssh: sorted(ssh), caches: sorted(caches) };
}
