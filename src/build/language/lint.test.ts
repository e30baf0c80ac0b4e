// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageConfigDocument } from "../../spec/index.ts";
import { IgnoreMatcher, readIgnoreFile } from "./ignore-file.ts";
import { type LintRequest, lintDockerfile, lintViolation } from "./lint.ts";
import { parseLintOptions } from "./lint-options.ts";
import { checkSummary, formatLint, lintJson, shortFinding } from "./lint-report.ts";
import { LINT_RULES, LINT_TEXTS } from "./lint-rules.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const image: ImageConfigDocument = {
  ...amd64,
  config: { Env: ["PATH=/p", "HOME=/h"] },
  rootfs: { type: "layers", diff_ids: [] },
};

function lint(text: string, request: Partial<LintRequest> = {}): string[] {
  const result = lintDockerfile(text, { buildPlatform: amd64, baseOf: () => image, ...request });
  assert.equal(result.error, undefined);
  return result.findings.map(shortFinding);
}

test("each rule speaks where it should and is silent where it should not", () => {
  const rows: [text: string, findings: string[]][] = [
    ["FROM a AS Base", ["StageNameCasing: Stage name 'Base' should be lowercase (line 1)"]],
    ["FROM a as b", ["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"]],
    [
      "from a as b\nFrom a as c\nrun x",
      [
        "ConsistentInstructionCasing: Command 'From' should match the case of the command majority (lowercase) (line 2)",
      ],
    ],
    ["FROM a\nRUN x \\\n\n y", ["NoEmptyContinuation: Empty continuation line (line 4)"]],
    [
      "FROM a AS b\nFROM a AS b",
      ['DuplicateStageName: Duplicate stage name "b", stage names should be unique (line 2)'],
    ],
    [
      "FROM a AS scratch",
      [
        'ReservedStageName: Stage name should not use the same name as reserved stage "scratch" (line 1)',
      ],
    ],
    [
      "FROM a\nENTRYPOINT x",
      [
        "JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals (line 2)",
      ],
    ],
    ['FROM a\nSHELL ["bash", "-c"]\nCMD x', []],
    [
      "FROM a\nMAINTAINER me",
      [
        "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)",
      ],
    ],
    [
      "ARG VERSION=1\nFROM a:${VERSOIN:-2}",
      [
        "UndefinedArgInFrom: FROM argument 'VERSOIN' is not declared (did you mean VERSION?) (line 2)",
      ],
    ],
    [
      "FROM a\nWORKDIR x\nWORKDIR y",
      [
        'WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes (line 2)',
      ],
    ],
    ["FROM a\nWORKDIR /x\nWORKDIR y", []],
    [
      "FROM a\nENV A=$PAHT B=$HOME",
      ["UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 2)"],
    ],
    ["FROM a\nARG X\nENV A=$X", []],
    [
      'FROM a\nCMD ["x"]\nCMD ["y"]',
      [
        "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)",
      ],
    ],
    [
      "FROM a\nENV x y\nLABEL z w",
      [
        'LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 2)',
        'LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format (line 3)',
      ],
    ],
    [
      "FROM --platform=$TARGETPLATFORM a",
      [
        "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 1)",
      ],
    ],
    [
      "FROM --platform=linux/amd64 a AS x",
      [
        'FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64" (line 1)',
      ],
    ],
    ["FROM --platform=linux/amd64 a AS x-amd64\nFROM --platform=$BUILDPLATFORM a", []],
    [
      "FROM a\nENV API_KEY=x PUBLIC_KEY=y\nARG TOKEN",
      [
        'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "API_KEY") (line 2)',
        'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "TOKEN") (line 3)',
      ],
    ],
    [
      "FROM a\nEXPOSE 80/TCP 127.0.0.1:81:81",
      [
        "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:81:81' (line 2)",
        "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)",
      ],
    ],
    ["# wrong\nFROM a AS b\n# c is fine\nARG c\n\n# x\n\nARG d", []],
    [
      "# check=experimental=all\n# wrong words\nFROM a AS b",
      [
        "InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>` (line 3)",
      ],
    ],
  ];
  for (const [text, findings] of rows) assert.deepEqual(lint(text), findings, text);
});

test("defaults that lead to no image are found whatever the build passes", () => {
  const text = "ARG TAG\nFROM a:${TAG}";
  assert.deepEqual(lint(text, { buildArgs: { TAG: "1" } }), [
    "InvalidDefaultArgInFrom: Default value for ARG a:${TAG} results in empty or invalid base image name (line 2)",
  ]);
});

test("a base of another platform and ignored sources are found", () => {
  const targetPlatform = { os: "linux", architecture: "arm64" };
  assert.deepEqual(lint("FROM a", { targetPlatform }), [
    'InvalidBaseImagePlatform: Base image a was pulled with platform "linux/amd64", expected "linux/arm64" for current build (line 1)',
  ]);
  const ignore = new IgnoreMatcher(readIgnoreFile("*.log\ndist"));
  const text = "FROM a AS b\nFROM a\nCOPY ./dist/x y.log ok /d/\nADD z.log /\nCOPY --from=b dist /";
  assert.deepEqual(lint(text, { ignore }), [
    'CopyIgnoredFile: Attempting to Copy file "dist/x" that is excluded by .dockerignore (line 3)',
    'CopyIgnoredFile: Attempting to Copy file "y.log" that is excluded by .dockerignore (line 3)',
    'CopyIgnoredFile: Attempting to Add file "z.log" that is excluded by .dockerignore (line 4)',
  ]);
  const taken = new IgnoreMatcher(readIgnoreFile("dist\n!dist/x"));
  assert.deepEqual(lint("FROM a\nCOPY dist /", { ignore: taken }), []);
});

test("without the base image no variable is called undefined", () => {
  assert.deepEqual(lint("FROM a\nENV A=$FROM_BASE", { baseOf: () => undefined }), []);
  assert.equal(lint("FROM scratch\nENV A=$NOPE", { baseOf: () => undefined }).length, 1);
});

test("rules are skipped by directive, build argument and the comment above an instruction", () => {
  const text = "FROM a AS B\n# check=skip=JSONArgsRecommended\nCMD x\n";
  assert.equal(lint(text).length, 1);
  assert.equal(lint(`# check=skip=StageNameCasing\n${text}`).length, 0);
  assert.equal(lint(`# check=skip=all\n${text}`).length, 0);
  const buildArgs = { BUILDKIT_DOCKERFILE_CHECK: "skip=all" };
  assert.equal(lint(text, { buildArgs }).length, 0);
  assert.throws(() => parseLintOptions("skp=all"), /invalid check option "skp"/);
  assert.throws(() => parseLintOptions("skip"), /invalid check option "skip"/);
  assert.throws(() => parseLintOptions("error=maybe"), /failed to parse check option/);
});

test("findings fail the build when the file says so", () => {
  const text = "# check=error=true\nFROM a AS B\nCMD x\n";
  const result = lintDockerfile(text, { buildPlatform: amd64 });
  const { message } = lintViolation(result)!;
  assert.equal(message, "lint violation found for rules: JSONArgsRecommended, StageNameCasing");
  const clean = lintDockerfile("# check=error=true\nFROM a\n", { buildPlatform: amd64 });
  assert.equal(lintViolation(clean), undefined);
});

test("findings before a fault are reported with it", () => {
  const result = lintDockerfile("FROM a AS B\nCPOY x y\n", { buildPlatform: amd64 });
  assert.deepEqual(
    result.findings.map(({ rule }) => rule),
    ["StageNameCasing"],
  );
  assert.match(result.error?.message ?? "", /unknown instruction: CPOY \(did you mean COPY\?\)/);
});

test("the report shows each finding with its lines", () => {
  const result = lintDockerfile("FROM a\nRUN x\nCMD y\n", { buildPlatform: amd64 });
  assert.equal(
    formatLint(result),
    [
      "Check complete, 1 warning has been found!",
      "",
      "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
      "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "Dockerfile:3",
      "--------------------",
      "   1 |     FROM a",
      "   2 |     RUN x",
      "   3 | >>> CMD y",
      "--------------------",
      "",
      "",
    ].join("\n"),
  );
  assert.equal(checkSummary({ findings: [] }), "Check complete, no warnings found.");
  assert.deepEqual(Object.keys(lintJson(result)), ["warnings", "sources"]);
});

test("every rule has a text and a page", () => {
  assert.equal(Object.keys(LINT_RULES).length, 22);
  assert.deepEqual(Object.keys(LINT_TEXTS), Object.keys(LINT_RULES));
  assert.match(
    LINT_RULES.FromPlatformFlagConstDisallowed.url,
    /\/from-platform-flag-const-disallowed\/$/,
  );
  assert.equal(LINT_RULES.InvalidBaseImagePlatform.url, "");
});
