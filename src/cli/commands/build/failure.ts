// How a failed build ends: the last words of the steps that failed, the lines of the Dockerfile
// that it is about, the error, and what can be done.

import { fromBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { GantryError, messageOf } from "../../../base/index.ts";
import { excerptOf } from "../../../build/index.ts";
import { errdefs, status } from "../../../gen/buildkit/index.ts";
import { type SourceLines, sourceOf } from "./progress/status.ts";
import { isCancelled, lastWords, type Trace } from "./progress/trace.ts";

const RULE = "------";

/** The last words of every step that failed, as BuildKit's displays end. */
export function failedSteps(trace: Trace): string {
  let out = "";
  for (const step of trace.steps.values()) {
    if (step.error === "" || isCancelled(step)) continue;
    const words = lastWords(step).map((line) => `${line}\n`);
    out += `${RULE}\n > ${step.name}:\n${words.join("")}${RULE}\n`;
  }
  return out;
}

/** The places that an error is about, and what its details say beside them. */
export function detailsOf(error: unknown): { sources: SourceLines[]; remedy?: string } {
  const bytes = error instanceof GantryError ? error.detail["grpcDetails"] : undefined;
  if (!(bytes instanceof Uint8Array)) return { sources: [] };
  const sources: SourceLines[] = [];
  let remedy: string | undefined;
  for (const { typeUrl, value } of fromBinary(status.StatusSchema, bytes).details) {
    const type = typeUrl.slice(typeUrl.lastIndexOf("/") + 1).replace(/\+json$/, "");
    if (type.endsWith("errdefs.Source")) {
      const { info, ranges } = fromBinary(errdefs.SourceSchema, value);
      if (info && ranges.length > 0) sources.push(sourceOf(info, ranges));
    } else if (type === "google.protobuf.StringValue") {
      remedy = fromBinary(StringValueSchema, value).value;
    }
  }
  return { sources, ...(remedy === undefined ? {} : { remedy }) };
}

/** The lines of a source, those in question marked. */
export function excerpt({ fileName, text, ranges }: SourceLines): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const first = Math.min(...ranges.map(({ start }) => start));
  const last = Math.max(...ranges.map(({ end }) => end));
  const source = { name: fileName, text, lines, bytes: Buffer.from(text) };
  return excerptOf(source, {
    start: { line: first, column: 1 },
    end: { line: last, column: 1 },
  });
}

/** Everything that stands beneath the progress of a failed build. */
export function failureText(error: unknown): string {
  const { sources, remedy } = detailsOf(error);
  const places = sources.map((source) => excerpt(source)).join("");
  const advice = remedy === undefined ? "" : `${remedy}\n`;
  const target = error instanceof GantryError ? error.detail["target"] : undefined;
  const what = typeof target === "string" ? `target ${target}` : "failed to build";
  return `${places}ERROR: ${what}: failed to solve: ${messageOf(error)}\n${advice}`;
}

/** The warnings of a build, after it: each a line, or with its lines of the source. */
export function warningsText(trace: Trace, { expanded }: { expanded: boolean }): string {
  const { warnings } = trace;
  if (warnings.length === 0) return "";
  const count = warnings.length === 1 ? "1 warning found" : `${warnings.length} warnings found`;
  const hint = expanded ? "" : ` (use gantry --debug to expand)`;
  let out = `\n ${count}${hint}:\n`;
  for (const { short, detail, url, source } of warnings) {
    out += ` - ${short}\n`;
    if (!expanded) continue;
    for (const line of detail) out += `${line}\n`;
    if (url !== "") out += `More info: ${url}\n`;
    if (source && source.ranges.length > 0) out += excerpt(source);
    out += "\n";
  }
  return out;
}
