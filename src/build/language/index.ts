export {
  type GitSource,
  gitSource,
  isGit,
} from "./add-source.ts";
export { applyChanges } from "./apply-changes.ts";
export {
  errorAt,
  placeOf,
} from "./dockerfile-error.ts";
export {
  evaluateStage,
  type StageBase,
} from "./evaluate-stage.ts";
export { changeFileMode, type FileModeChange } from "./file-mode.ts";
export {
  type IgnoreFolder,
  IgnoreMatcher,
  readIgnoreFile,
} from "./ignore-file.ts";
export { type CompiledPattern, compilePattern } from "./ignore-pattern.ts";
export {
  type LintRequest,
  type LintResult,
  lintDockerfile,
  lintViolation,
} from "./lint.ts";
export {
  formatLint,
  lintJson,
  shortFinding,
} from "./lint-report.ts";
export { parseDockerfile } from "./parse.ts";
export {
  type BuildPlan,
  type PlannedStage,
  planBuild,
  type Source,
  withTriggers,
} from "./plan.ts";
export type * from "./run-mount.ts";
export type { Position, SourceRange } from "./source.ts";
export { excerptOf } from "./source.ts";
export { StepLabels } from "./step-label.ts";
export type * from "./steps.ts";
export { didYouMean, nearest } from "./suggest.ts";
export type * from "./syntax-tree.ts";
export { unusedBuildArgs } from "./unused-args.ts";
export { BUILDER_ARGS, type BuildArgs, PROXY_ARGS } from "./variables.ts";
