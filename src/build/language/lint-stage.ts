// The checks that follow a stage from instruction to instruction: they watch its evaluation.

import { posix } from "node:path";
import type { ConfigState } from "./config-change.ts";
import type { EvaluationObserver } from "./evaluate-stage.ts";
import { exposedPort } from "./exposed-ports.ts";
import type { IgnoreMatcher } from "./ignore-file.ts";
import type { Report } from "./lint-file.ts";
import { LINT_TEXTS } from "./lint-rules.ts";
import { nearest } from "./suggest.ts";
import type { Add, Copy, StageInstruction } from "./syntax-tree.ts";

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i;

export interface StageLintOptions {
  ignore: IgnoreMatcher | undefined;
  /** False: the base's variables are not known, so none can be called undefined. */
  knowsBase: boolean;
}

/** Watches one stage; a new one for each. */
export function stageObserver(report: Report, options: StageLintOptions): EvaluationObserver {
  const seen = new Map<StageInstruction["kind"], StageInstruction>();
  return {
    unset(instruction, unset, names) {
      if (!options.knowsBase) return;
      for (const name of unset) {
        const text = LINT_TEXTS.UndefinedVar(name, nearest(name, names()));
        report("UndefinedVar", instruction, text);
      }
    },
    visit(instruction, state, workdirSet) {
      lintOnce(instruction, seen, report);
      lintInstruction(instruction, state, workdirSet, report);
      if (options.ignore && (instruction.kind === "COPY" || instruction.kind === "ADD")) {
        lintSources(instruction, options.ignore, report);
      }
    },
  };
}

/** The earlier one is reported: it is the one without effect. */
function lintOnce(
  instruction: StageInstruction,
  seen: Map<StageInstruction["kind"], StageInstruction>,
  report: Report,
): void {
  const { kind, keyword } = instruction;
  if (kind !== "CMD" && kind !== "ENTRYPOINT" && kind !== "HEALTHCHECK") return;
  const earlier = seen.get(kind);
  if (earlier !== undefined) {
    const text = LINT_TEXTS.MultipleInstructionsDisallowed(keyword);
    report("MultipleInstructionsDisallowed", earlier, text);
  }
  seen.set(kind, instruction);
}

function lintInstruction(
  instruction: StageInstruction,
  { config }: ConfigState,
  workdirSet: boolean,
  report: Report,
): void {
  const { keyword } = instruction;
  switch (instruction.kind) {
    case "CMD":
    case "ENTRYPOINT":
      if (instruction.command.form === "shell" && !config.Shell?.length) {
        report("JSONArgsRecommended", instruction, LINT_TEXTS.JSONArgsRecommended(keyword));
      }
      return;
    case "WORKDIR":
      if (!workdirSet && !instruction.path.startsWith("/")) {
        const text = LINT_TEXTS.WorkdirRelativePath(instruction.path);
        report("WorkdirRelativePath", instruction, text);
      }
      return;
    case "ENV":
    case "LABEL":
      if (instruction.legacy) {
        report("LegacyKeyValueFormat", instruction, LINT_TEXTS.LegacyKeyValueFormat(keyword));
      }
      if (instruction.kind === "ENV") {
        for (const { key } of instruction.pairs) lintSecret("ENV", key, instruction, report);
      }
      return;
    case "ARG":
      for (const { name } of instruction.args) lintSecret("ARG", name, instruction, report);
      return;
    case "EXPOSE":
      for (const port of instruction.ports) {
        const { hasHost, hasUpperCase } = exposedPort(port);
        if (hasUpperCase) {
          report("ExposeProtoCasing", instruction, LINT_TEXTS.ExposeProtoCasing(port));
        }
        if (hasHost) {
          report("ExposeInvalidFormat", instruction, LINT_TEXTS.ExposeInvalidFormat(port));
        }
      }
  }
}

function lintSecret(
  keyword: string,
  name: string,
  instruction: StageInstruction,
  report: Report,
): void {
  if (!SECRET.test(name) || NO_SECRET.test(name)) return;
  report("SecretsUsedInArgOrEnv", instruction, LINT_TEXTS.SecretsUsedInArgOrEnv(keyword, name));
}

/** With exceptions in the ignore file, a folder's verdict does not settle its contents. */
function lintSources(instruction: Add | Copy, ignore: IgnoreMatcher, report: Report): void {
  if (ignore.hasExceptions) return;
  if (instruction.kind === "COPY" && instruction.from !== undefined) return;
  for (const source of instruction.sources) {
    const path = posix.normalize(source).replace(/(.)\/$/, "$1");
    if (!ignore.ignores(path)) continue;
    const verb = instruction.kind === "ADD" ? "Add" : "Copy";
    report("CopyIgnoredFile", instruction, LINT_TEXTS.CopyIgnoredFile(verb, path));
  }
}
