export {
  type AddSource,
  addSource,
  type GitSource,
  gitSource,
  type HttpSource,
  isGit,
} from "./add-source.ts";
export { applyChanges } from "./apply-changes.ts";
export { classicHistory } from "./classic-history.ts";
export { detectSyntax } from "./directives.ts";
export {
  type DockerfileErrorDetail,
  errorAt,
  formatDockerfileError,
  placeOf,
} from "./dockerfile-error.ts";
export type { EnvironmentView } from "./environment.ts";
export {
  DEFAULT_PATH,
  type EvaluationObserver,
  evaluateStage,
  type StageBase,
} from "./evaluate-stage.ts";
export { changeFileMode, type FileModeChange, parseFileMode } from "./file-mode.ts";
export {
  type IgnoreFolder,
  IgnoreMatcher,
  type IgnoreRule,
  type IgnoreVerdict,
  ignoreFileNames,
  readIgnoreFile,
} from "./ignore-file.ts";
export { type CompiledPattern, compilePattern } from "./ignore-pattern.ts";
export {
  type LintFinding,
  type LintRequest,
  type LintResult,
  lintDockerfile,
  lintViolation,
} from "./lint.ts";
export { type LintOptions, parseLintOptions } from "./lint-options.ts";
export {
  checkSummary,
  formatFinding,
  formatLint,
  lintJson,
  shortFinding,
} from "./lint-report.ts";
export { LINT_RULES, type LintRule, type LintRuleName } from "./lint-rules.ts";
export { parseDockerfile, parseTrigger } from "./parse.ts";
export {
  type BuildPlan,
  type PlannedInstruction,
  type PlannedStage,
  type PlanOptions,
  planBuild,
  type Source,
  withTriggers,
} from "./plan.ts";
export type * from "./run-mount.ts";
export type { RunDevice, RunNetwork, RunSecurity } from "./run-options.ts";
export type { Position, SourceRange, SourceText } from "./source.ts";
export { excerptOf } from "./source.ts";
export { StepLabels } from "./step-label.ts";
export type * from "./steps.ts";
export { didYouMean, nearest } from "./suggest.ts";
export type * from "./syntax-tree.ts";
export { type UnusedArgs, unusedBuildArgs } from "./unused-args.ts";
export { BUILDER_ARGS, type BuildArgs, type GlobalScope, PROXY_ARGS } from "./variables.ts";
