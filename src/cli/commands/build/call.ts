// --call and --check: what the front end answers about a Dockerfile, as text or JSON, and the exit
// code that goes with it.

import type { Session } from "../../session.ts";
import { excerpt } from "./failure.ts";
import type { CallSpec } from "./request/specs.ts";

interface Location {
  sourceIndex?: number;
  ranges?: { start: { line: number }; end: { line: number } }[];
}
interface LintResults {
  /** Go writes an empty list as null. */
  warnings?: Warning[] | null;
  sources?: Source[] | null;
  buildError?: { message: string; location?: Location } | null;
}
interface Source {
  /** Protocol buffers' spelling and Go's. */
  fileName?: string;
  filename?: string;
  data: string;
}
interface Warning {
  ruleName: string;
  description?: string;
  url?: string;
  detail?: string;
  location?: Location;
}

/** Prints the answer; returns the exit code. */
export function showAnswer(
  session: Session,
  call: CallSpec,
  response: Readonly<Record<string, string>>,
): number {
  const json = response["result.json"];
  const isLint = call.name === "lint";
  if (call.format === "json" && json !== undefined) {
    session.print(JSON.stringify(JSON.parse(json), undefined, 2));
  } else if (isLint && json !== undefined) {
    session.io.stdout.write(lintText(JSON.parse(json) as LintResults));
  } else session.io.stdout.write(endLine(response["result.txt"] ?? json ?? ""));
  if (call.ignoreStatus) return 0;
  const status = Number(response["result.statuscode"] ?? "0");
  if (status !== 0) return 1;
  if (!isLint || json === undefined) return 0;
  const { warnings, buildError } = JSON.parse(json) as LintResults;
  return (warnings ?? []).length > 0 || buildError ? 1 : 0;
}

/** The findings of a check, each with its lines. */
export function lintText(results: LintResults): string {
  const { buildError } = results;
  const warnings = results.warnings ?? [];
  const sources = results.sources ?? [];
  let out = "";
  if (warnings.length === 0 && !buildError) {
    out += "Check complete, no warnings found.\n";
  }
  if (warnings.length > 0) {
    const count = warnings.length === 1 ? "1 warning has" : `${warnings.length} warnings have`;
    out += `Check complete, ${count} been found!\n`;
  }
  for (const { ruleName, url, detail, description, location } of warnings) {
    out += `\nWARNING: ${ruleName}${url ? ` - ${url}` : ""}\n${detail ?? description ?? ""}\n`;
    out += linesOf(sources, location);
  }
  if (buildError) {
    out += `\nERROR: ${buildError.message}\n${linesOf(sources, buildError.location)}`;
  }
  return out;
}

function linesOf(sources: readonly Source[], location?: Location): string {
  const source = sources[location?.sourceIndex ?? 0];
  const ranges = (location?.ranges ?? []).map(({ start, end }) => ({
    start: start.line,
    end: end.line,
  }));
  if (source === undefined || ranges.length === 0) return "";
  const text = Buffer.from(source.data, "base64").toString("utf8");
  return excerpt({ fileName: source.fileName ?? source.filename ?? "", text, ranges });
}

function endLine(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
