// `build --check`: all checks over one Dockerfile, without building. Where base images are known
// the variables and shells of their configs count; where they are not, what would need them stays
// unsaid. A fault of the file comes with the findings before it.

import { GantryError } from "../../base/index.ts";
import type { ImageConfigDocument, Platform } from "../../spec/index.ts";
import { normalizePlatform, writePlatform } from "../../spec/index.ts";
import { evaluateStage, type StageBase } from "./evaluate-stage.ts";
import type { IgnoreMatcher } from "./ignore-file.ts";
import { lintFroms, lintText, type Report } from "./lint-file.ts";
import { isEnabled, type LintOptions, parseLintOptions } from "./lint-options.ts";
import { LINT_RULES, LINT_TEXTS, type LintRuleName } from "./lint-rules.ts";
import { stageObserver } from "./lint-stage.ts";
import { parseToFault } from "./parse.ts";
import {
  type BuildPlan,
  type PlannedStage,
  type PlanOptions,
  planBuild,
  type Source,
} from "./plan.ts";
import { readSource, type SourceRange, type SourceText } from "./source.ts";
import type { EvaluatedStage } from "./steps.ts";
import type { Dockerfile } from "./syntax-tree.ts";
import { globalScope, ownValue } from "./variables.ts";

export interface LintFinding {
  rule: LintRuleName;
  description: string;
  url: string;
  detail: string;
  range: SourceRange;
}
export interface LintResult {
  source: SourceText;
  /** In the order of the lines. */
  findings: LintFinding[];
  /** The file cannot be built at all. */
  error?: GantryError;
  /** Findings are to fail the build (`error=true`). */
  failsBuild: boolean;
}
export interface LintRequest extends PlanOptions {
  /** Config of an image or named context, where it is known. */
  baseOf?: (source: Source, platform: Platform) => ImageConfigDocument | undefined;
  ignore?: IgnoreMatcher;
}

/** Checks a Dockerfile. A fault of the file is in the result, not thrown. */
export function lintDockerfile(
  bytes: Uint8Array | string,
  request: LintRequest,
  name?: string,
): LintResult {
  const source = readSource(bytes, name);
  const { file, fault } = parseToFault(source);
  const findings: LintFinding[] = [];
  const result: LintResult = { source, findings, failsBuild: false };
  try {
    const options = optionsOf(file, request);
    result.failsBuild = options.error;
    const report = collector(findings, options);
    lintText(file, report);
    if (fault !== undefined) throw fault;
    lintStages(file, request, report);
  } catch (error) {
    if (!(error instanceof GantryError) || error.kind === "internal") throw error;
    result.error = error;
  }
  findings.sort((a, b) => a.range.start.line - b.range.start.line);
  return result;
}

/** The error that findings are under `error=true`; undefined when the build may go on. */
export function lintViolation({ failsBuild, findings }: LintResult): GantryError | undefined {
  if (!failsBuild || findings.length === 0) return undefined;
  const rules = [...new Set(findings.map(({ rule }) => rule))].sort();
  return new GantryError("invalid", `lint violation found for rules: ${rules.join(", ")}`);
}

function optionsOf(file: Dockerfile, request: LintRequest): LintOptions {
  const given = ownValue(request.buildArgs ?? {}, "BUILDKIT_DOCKERFILE_CHECK");
  const written = file.directives.find(({ name }) => name === "check")?.value;
  return parseLintOptions(given ?? written ?? "");
}

function collector(findings: LintFinding[], options: LintOptions): Report {
  const seen = new Set<string>();
  return (rule, at, detail, range = at.range) => {
    if (!isEnabled(rule, options)) return;
    const own = at.comments.filter((comment) => /^check\s*=/.test(comment));
    if (own.some((comment) => !isEnabled(rule, ownOptions(comment, options)))) return;
    const key = `${rule}\n${range.start.line}\n${detail}`;
    if (seen.has(key)) return;
    seen.add(key);
    const { description, url } = LINT_RULES[rule];
    findings.push({ rule, description, url, detail, range });
  };
}

/** `# check=skip=…` above an instruction; experimental rules stay as the file has them. */
function ownOptions(comment: string, file: LintOptions): LintOptions {
  const { skip } = parseLintOptions(comment.replace(/^check\s*=/, ""));
  return { ...file, skip };
}

function lintStages(file: Dockerfile, request: LintRequest, report: Report): void {
  const scope = {
    buildArgs: request.buildArgs ?? {},
    buildPlatform: request.buildPlatform,
    targetPlatform: request.targetPlatform ?? request.buildPlatform,
    targetStage: request.target || file.stages.at(-1)?.from.name || "default",
  };
  // Before the plan, which refuses what an undeclared ARG left empty.
  lintFroms(file, globalScope(file, scope), scope, report);
  const plan = planBuild(file, { ...request, allStages: !request.target });
  const done = new Map<number, { stage: EvaluatedStage; knowsBase: boolean }>();
  for (const index of plan.needed) {
    const planned = plan.stages[index]!;
    const { base, knowsBase } = baseOf(plan, planned, request, done);
    if (base.kind === "image") lintBasePlatform(plan, planned, base.document, report);
    const observer = stageObserver(report, { ignore: request.ignore, knowsBase });
    done.set(index, { stage: evaluateStage(plan, index, base, observer), knowsBase });
  }
}

function baseOf(
  plan: BuildPlan,
  planned: PlannedStage,
  request: LintRequest,
  done: ReadonlyMap<number, { stage: EvaluatedStage; knowsBase: boolean }>,
): { base: StageBase; knowsBase: boolean } {
  const { base } = planned;
  if (base.kind === "scratch") return { base: { kind: "scratch" }, knowsBase: true };
  if (base.kind === "stage") {
    const { stage, knowsBase } = done.get(base.index)!;
    return { base: { kind: "stage", stage }, knowsBase };
  }
  const document = request.baseOf?.(base, planned.platform ?? plan.targetPlatform);
  if (document !== undefined) return { base: { kind: "image", document }, knowsBase: true };
  return { base: { kind: "scratch" }, knowsBase: false };
}

function lintBasePlatform(
  plan: BuildPlan,
  planned: PlannedStage,
  document: ImageConfigDocument,
  report: Report,
): void {
  const expected = normalizePlatform(planned.platform ?? plan.targetPlatform);
  const actual = normalizePlatform(document);
  if (expected.os === actual.os && expected.architecture === actual.architecture) return;
  const { from } = planned.stage;
  const image = planned.base.kind === "image" ? planned.base.written : from.base;
  const words = [image, writePlatform(expected), writePlatform(actual)] as const;
  report("InvalidBaseImagePlatform", from, LINT_TEXTS.InvalidBaseImagePlatform(...words));
}
