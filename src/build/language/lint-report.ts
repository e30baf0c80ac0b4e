// What `docker build --check` prints, as text and as JSON, from the findings.

import { placeOf } from "./dockerfile-error.ts";
import { type LintFinding, type LintResult, lintViolation } from "./lint.ts";
import { excerptOf, type SourceText } from "./source.ts";

/** One finding with its lines. */
function formatFinding(source: SourceText, finding: LintFinding): string {
  const page = finding.url === "" ? "" : ` - ${finding.url}`;
  const head = `WARNING: ${finding.rule}${page}\n${finding.detail}\n`;
  return `${head}${excerptOf(source, finding.range)}\n`;
}

/** The line with which a check ends, or begins when there are findings. */
export function checkSummary({ findings }: Pick<LintResult, "findings">): string {
  if (findings.length === 0) return "Check complete, no warnings found.";
  const count = findings.length === 1 ? "1 warning has" : `${findings.length} warnings have`;
  return `Check complete, ${count} been found!`;
}

/** What fails the build: the file's own fault, or findings where these are to be errors. */
const errorOf = (result: LintResult) => result.error ?? lintViolation(result);

/** The whole report for a terminal. */
export function formatLint(result: LintResult): string {
  const { source, findings } = result;
  const error = errorOf(result);
  const parts = findings.map((finding) => formatFinding(source, finding));
  if (error !== undefined) {
    const place = placeOf(error);
    const remedy = place?.remedy === undefined ? "" : `${place.remedy}\n`;
    parts.push(`ERROR: ${error.message}\n${place?.excerpt ?? ""}${remedy}\n`);
  }
  if (findings.length > 0) return `${checkSummary(result)}\n\n${parts.join("")}`;
  return error === undefined ? `${checkSummary(result)}\n` : parts.join("");
}

/** What one warning is in the progress of a build: "Rule: detail (line 3)". */
export function shortFinding({ rule, detail, range }: LintFinding): string {
  return `${rule}: ${detail} (line ${range.start.line})`;
}

interface JsonLocation {
  ranges: { start: { line: number }; end: { line: number } }[];
}

/** The answer of `--format json`, field for field as BuildKit's. */
export function lintJson(result: LintResult): object {
  const { source, findings } = result;
  const error = errorOf(result);
  const place = error && placeOf(error);
  return {
    warnings: findings.map(({ rule, description, url, detail, range }) => ({
      ruleName: rule,
      description,
      ...(url === "" ? {} : { url }),
      detail,
      location: location(range.start.line, range.end.line),
    })),
    sources: [
      {
        fileName: source.name,
        language: "Dockerfile",
        definition: null,
        data: Buffer.from(source.bytes).toString("base64"),
      },
    ],
    ...(error === undefined
      ? {}
      : {
          buildError: {
            message: error.message,
            ...(place ? { location: location(place.line, place.endLine) } : {}),
          },
        }),
  };
}

function location(start: number, end: number): JsonLocation {
  return { ranges: [{ start: { line: start }, end: { line: end } }] };
}
