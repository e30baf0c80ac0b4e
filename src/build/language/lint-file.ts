// The checks that need the file only: how it is written, names, casing, comments, and what FROM
// says before any image is known.

import { type Platform, parseReference, readPlatform } from "../../spec/index.ts";
import { TextFault } from "./dockerfile-error.ts";
import type { LintRuleName } from "./lint-rules.ts";
import { LINT_TEXTS } from "./lint-rules.ts";
import { type Expansion, expandText } from "./shell-lexer.ts";
import type { SourceRange } from "./source.ts";
import { nearest } from "./suggest.ts";
import type { Dockerfile, From, Instruction, Stage } from "./syntax-tree.ts";
import type { GlobalScope, ScopeOptions } from "./variables.ts";
import { globalScope } from "./variables.ts";

/** Takes a finding. `at` says which instruction's own `# check=` applies. */
export type Report = (
  rule: LintRuleName,
  at: Pick<Instruction, "range" | "comments">,
  text: string,
  range?: SourceRange,
) => void;

const RESERVED: readonly string[] = ["context", "scratch"];

/** Reports what the text itself shows. */
export function lintText(file: Dockerfile, report: Report): void {
  const all = allInstructions(file);
  for (const instruction of all) {
    lintContinuations(instruction, report);
    if (instruction.kind === "MAINTAINER") {
      report("MaintainerDeprecated", instruction, LINT_TEXTS.MaintainerDeprecated());
    }
    if (instruction.kind === "ARG") {
      lintDescription(
        "ARG",
        instruction,
        instruction.args.map(({ name }) => name),
        report,
      );
    }
  }
  lintCasing(file.stages, report);
  const names = new Set<string>();
  for (const { from } of file.stages) lintStageName(from, names, report);
}

function allInstructions(file: Dockerfile): Instruction[] {
  return [
    ...file.globalArgs,
    ...file.stages.flatMap(({ from, instructions }) => [from, ...instructions]),
  ];
}

function lintContinuations(instruction: Instruction, report: Report): void {
  if (instruction.emptyContinuations.length === 0) return;
  const bodies = instruction.kind === "RUN" ? instruction.heredocs : [];
  const first = bodies[0]?.range.start.line;
  const line = first === undefined ? instruction.range.end.line : first - 1;
  const range = { start: { line, column: 1 }, end: { line, column: 1 } };
  report("NoEmptyContinuation", instruction, LINT_TEXTS.NoEmptyContinuation(), range);
}

function lintDescription(
  keyword: string,
  instruction: Instruction,
  names: readonly string[],
  report: Report,
): void {
  const comment = instruction.comments.filter((text) => !text.startsWith("check=")).at(-1);
  if (comment === undefined || names.includes(comment.split(" ", 1)[0]!)) return;
  const example = names.length > 1 ? "<arg_key>" : (names[0] ?? "");
  const text = LINT_TEXTS.InvalidDefinitionDescription(keyword, example);
  report("InvalidDefinitionDescription", instruction, text);
}

function lintCasing(stages: readonly Stage[], report: Report): void {
  const all = stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  let lower = 0;
  let upper = 0;
  for (const { keyword } of all) {
    if (keyword === keyword.toLowerCase()) lower++;
    else if (keyword === keyword.toUpperCase()) upper++;
  }
  const casing = lower > upper ? "lowercase" : "uppercase";
  for (const instruction of all) {
    const { keyword } = instruction;
    const wanted = lower > upper ? keyword.toLowerCase() : keyword.toUpperCase();
    if (keyword === wanted) continue;
    const text = LINT_TEXTS.ConsistentInstructionCasing(keyword, casing);
    report("ConsistentInstructionCasing", instruction, text);
  }
}

function lintStageName(from: From, names: Set<string>, report: Report): void {
  const { name, writtenName, as, keyword } = from;
  if (name === undefined || writtenName === undefined || as === undefined) return;
  if (writtenName !== name) {
    report("StageNameCasing", from, LINT_TEXTS.StageNameCasing(writtenName));
  }
  const isLower = keyword === keyword.toLowerCase();
  const isUpper = keyword === keyword.toUpperCase();
  if ((isLower && as !== as.toLowerCase()) || (isUpper && as !== as.toUpperCase())) {
    report("FromAsCasing", from, LINT_TEXTS.FromAsCasing(keyword, as));
  }
  if (RESERVED.includes(name)) {
    report("ReservedStageName", from, LINT_TEXTS.ReservedStageName(name));
  }
  if (names.has(name)) report("DuplicateStageName", from, LINT_TEXTS.DuplicateStageName(name));
  names.add(name);
  lintDescription("FROM", from, [name], report);
}

/** Reports what the FROM lines show: undeclared ARGs, bad defaults, needless platforms. */
export function lintFroms(
  file: Dockerfile,
  globals: GlobalScope,
  scope: ScopeOptions,
  report: Report,
): void {
  lintDefaults(file, scope, report);
  const known = new Set([...globals.values.keys(), ...globals.declared]);
  for (const { from } of file.stages) {
    const base = tryExpand(file, from.base, globals);
    if (base !== undefined) lintUndeclared(from, base, known, report);
    if (from.platform === undefined) continue;
    const platform = tryExpand(file, from.platform, globals);
    if (platform === undefined) continue;
    lintUndeclared(from, platform, known, report);
    lintPlatform(from, platform, globals, scope.buildPlatform, report);
  }
}

function tryExpand(file: Dockerfile, text: string, scope: GlobalScope): Expansion | undefined {
  try {
    return expandText(text, scope.values, { escape: file.escape });
  } catch (error) {
    if (error instanceof TextFault) return undefined; // the plan reports it
    throw error;
  }
}

function lintUndeclared(
  from: From,
  { unset }: Expansion,
  known: ReadonlySet<string>,
  report: Report,
): void {
  for (const name of unset) {
    if (known.has(name)) continue;
    const text = LINT_TEXTS.UndefinedArgInFrom(name, nearest(name, known));
    report("UndefinedArgInFrom", from, text);
  }
}

function lintPlatform(
  from: From,
  { text, used, unset }: Expansion,
  globals: GlobalScope,
  host: Platform,
  report: Report,
): void {
  if (used.size === 1 && unset.size === 0 && used.has("TARGETPLATFORM")) {
    if (text !== globals.values.get("TARGETPLATFORM")) return;
    report("RedundantTargetPlatform", from, LINT_TEXTS.RedundantTargetPlatform(from.platform!));
  }
  if (used.size > 0 || unset.size > 0) return;
  let platform: Platform;
  try {
    platform = readPlatform(text, host);
  } catch {
    return; // the plan reports it
  }
  const { name = "" } = from;
  if (name.includes(platform.os) || name.includes(platform.architecture)) return;
  const finding = LINT_TEXTS.FromPlatformFlagConstDisallowed(text);
  report("FromPlatformFlagConstDisallowed", from, finding);
}

/** A build without arguments must find its base images too. */
function lintDefaults(file: Dockerfile, scope: ScopeOptions, report: Report): void {
  let defaults: GlobalScope;
  try {
    defaults = globalScope(file, { ...scope, buildArgs: {} });
  } catch {
    return; // the plan reports it
  }
  const stages = new Set<string>();
  for (const { from } of file.stages) {
    const base = tryExpand(file, from.base, defaults);
    if (base === undefined) return;
    if (!stages.has(base.text.toLowerCase()) && !isReference(base.text)) {
      const finding = LINT_TEXTS.InvalidDefaultArgInFrom(from.base);
      report("InvalidDefaultArgInFrom", from, finding);
    }
    if (from.name !== undefined) stages.add(from.name);
  }
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}
