// The checks of `build --check` as data: names, descriptions and texts are BuildKit's, because they
// stand in `# check=skip=…` directives and in the reports of other tools.

export interface LintRule {
  name: string;
  description: string;
  /** Empty where BuildKit has no page. */
  url: string;
  /** Runs only when `experimental=` names it. */
  experimental: boolean;
}

const ROWS = {
  StageNameCasing: "Stage names should be lowercase",
  FromAsCasing: "The 'as' keyword should match the case of the 'from' keyword",
  NoEmptyContinuation: "Empty continuation lines will become errors in a future release",
  ConsistentInstructionCasing:
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
  DuplicateStageName: "Stage names should be unique",
  ReservedStageName: "Reserved words should not be used as stage names",
  JSONArgsRecommended:
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
  MaintainerDeprecated:
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
  UndefinedArgInFrom: "FROM command must use declared ARGs",
  WorkdirRelativePath:
    "Relative workdir without an absolute workdir declared within the build can have unexpected " +
    "results if the base image changes",
  UndefinedVar: "Variables should be defined before their use",
  MultipleInstructionsDisallowed:
    "Multiple instructions of the same type should not be used in the same stage",
  LegacyKeyValueFormat: "Legacy key/value format with whitespace separator should not be used",
  InvalidBaseImagePlatform: "Base image platform does not match expected target platform",
  RedundantTargetPlatform:
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default " +
    "behavior",
  SecretsUsedInArgOrEnv: "Sensitive data should not be used in the ARG or ENV commands",
  InvalidDefaultArgInFrom:
    "Default value for global ARG results in an empty or invalid base image name",
  FromPlatformFlagConstDisallowed: "FROM --platform flag should not use a constant value",
  CopyIgnoredFile: "Attempting to Copy file that is excluded by .dockerignore",
  InvalidDefinitionDescription:
    "Comment for build stage or argument should follow the format: " +
    "`# <arg/stage name> <description>`. If this is not intended to be a description comment, add " +
    "an empty line or comment between the instruction and the comment.",
  ExposeProtoCasing: "Protocol in EXPOSE instruction should be lowercase",
  ExposeInvalidFormat:
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become " +
    "an error in a future release",
} as const;

export type LintRuleName = keyof typeof ROWS;

const WITHOUT_PAGE: readonly LintRuleName[] = ["InvalidBaseImagePlatform"];
const EXPERIMENTAL: readonly LintRuleName[] = ["InvalidDefinitionDescription"];
const PAGES = "https://docs.docker.com/go/dockerfile/rule/";

/** "JSONArgsRecommended" → "json-args-recommended". */
function slug(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, "$1-$2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1-$2")
    .toLowerCase();
}

export const LINT_RULES: Readonly<Record<LintRuleName, LintRule>> = Object.fromEntries(
  Object.entries(ROWS).map(([name, description]) => [
    name,
    {
      name,
      description,
      url: WITHOUT_PAGE.includes(name as LintRuleName) ? "" : `${PAGES}${slug(name)}/`,
      experimental: EXPERIMENTAL.includes(name as LintRuleName),
    },
  ]),
) as Record<LintRuleName, LintRule>;

const hint = (suggestion: string | undefined, mark = "") =>
  suggestion === undefined ? "" : ` (did you mean ${mark}${suggestion}?)`;

/** The text of each finding. */
export const LINT_TEXTS = {
  StageNameCasing: (name: string) => `Stage name '${name}' should be lowercase`,
  FromAsCasing: (from: string, as: string) => `'${as}' and '${from}' keywords' casing do not match`,
  NoEmptyContinuation: () => "Empty continuation line",
  ConsistentInstructionCasing: (keyword: string, casing: string) =>
    `Command '${keyword}' should match the case of the command majority (${casing})`,
  DuplicateStageName: (name: string) =>
    `Duplicate stage name "${name}", stage names should be unique`,
  ReservedStageName: (name: string) =>
    `Stage name should not use the same name as reserved stage "${name}"`,
  JSONArgsRecommended: (keyword: string) =>
    `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`,
  MaintainerDeprecated: () => "Maintainer instruction is deprecated in favor of using label",
  UndefinedArgInFrom: (name: string, suggestion?: string) =>
    `FROM argument '${name}' is not declared${hint(suggestion)}`,
  WorkdirRelativePath: (path: string) =>
    `Relative workdir ${JSON.stringify(path)} can have unexpected results if the base image changes`,
  UndefinedVar: (name: string, suggestion?: string) =>
    `Usage of undefined variable '$${name}'${hint(suggestion, "$")}`,
  MultipleInstructionsDisallowed: (keyword: string) =>
    `Multiple ${keyword} instructions should not be used in the same stage because only the last ` +
    "one will be used",
  LegacyKeyValueFormat: (keyword: string) =>
    `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
  InvalidBaseImagePlatform: (image: string, expected: string, actual: string) =>
    `Base image ${image} was pulled with platform "${actual}", expected "${expected}" for current ` +
    "build",
  RedundantTargetPlatform: (written: string) =>
    `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`,
  SecretsUsedInArgOrEnv: (keyword: string, name: string) =>
    `Do not use ARG or ENV instructions for sensitive data (${keyword} ${JSON.stringify(name)})`,
  InvalidDefaultArgInFrom: (base: string) =>
    `Default value for ARG ${base} results in empty or invalid base image name`,
  FromPlatformFlagConstDisallowed: (platform: string) =>
    `FROM --platform flag should not use constant value "${platform}"`,
  CopyIgnoredFile: (verb: string, path: string) =>
    `Attempting to ${verb} file ${JSON.stringify(path)} that is excluded by .dockerignore`,
  InvalidDefinitionDescription: (keyword: string, name: string) =>
    `Comment for ${keyword} should follow the format: \`# ${name} <description>\``,
  ExposeProtoCasing: (port: string) =>
    `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
  ExposeInvalidFormat: (port: string) =>
    `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
} satisfies Record<LintRuleName, (...words: never[]) => string>;
