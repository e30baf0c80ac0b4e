// `# check=skip=Rule1,Rule2;error=true;experimental=Rule3`: as directive of the file, as build
// argument BUILDKIT_DOCKERFILE_CHECK, or as comment directly above one instruction.

import { GantryError } from "../../base/index.ts";
import { readBool } from "./flag-rules.ts";
import { LINT_RULES } from "./lint-rules.ts";

type RuleSet = "all" | ReadonlySet<string>;

export interface LintOptions {
  skip: RuleSet;
  experimental: RuleSet;
  /** Findings fail the build. */
  error: boolean;
}

const NO_LINT_OPTIONS: LintOptions = {
  skip: new Set(),
  experimental: new Set(),
  error: false,
};

/** Reads the value of a check directive. Throws invalid with BuildKit's wording. */
export function parseLintOptions(text: string): LintOptions {
  const options = { ...NO_LINT_OPTIONS };
  if (text.trim() === "") return options;
  for (const part of text.split(";")) {
    const equals = part.indexOf("=");
    if (equals < 0) throw invalid(`invalid check option ${JSON.stringify(part)}`);
    const key = part.slice(0, equals).trim();
    const value = part.slice(equals + 1).trim();
    if (key === "skip" || key === "experimental") options[key] = rulesOf(value);
    else if (key === "error") {
      const error = readBool(value);
      if (error === undefined) {
        throw invalid(`failed to parse check option ${JSON.stringify(part)}`);
      }
      options.error = error;
    } else throw invalid(`invalid check option ${JSON.stringify(key)}`);
  }
  return options;
}

function rulesOf(text: string): RuleSet {
  if (text === "all") return "all";
  return new Set(text.split(",").map((name) => name.trim()));
}

/** Whether a rule speaks under these options. */
export function isEnabled(rule: keyof typeof LINT_RULES, options: LintOptions): boolean {
  const { skip, experimental } = options;
  if (LINT_RULES[rule].experimental && experimental !== "all" && !experimental.has(rule)) {
    return false;
  }
  return skip !== "all" && !skip.has(rule);
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", `failed to parse check options: ${message}`);
}
