// Questions about a Dockerfile that are answered without building it: BuildKit's subrequests
// (`--call`, `--check`). The answers are JSON of BuildKit's form and a text for people.

import { GantryError } from "../../base/index.ts";
import {
  formatLint,
  IgnoreMatcher,
  type LintResult,
  lintDockerfile,
  lintJson,
  type Outline,
  outlineOf,
  parseDockerfile,
  planBuild,
  readIgnoreFile,
  type Source,
  type SourceRange,
  targetsOf,
} from "../../build/index.ts";
import { familiarReference, type ImageConfigDocument, parseReference } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { BuildJob } from "./job.ts";
import type { IgnoreFile } from "./job-contexts.ts";
import { planOptions, platformsOf } from "./job-graph.ts";

type Metadata = Record<string, string>;
export interface AskedFile {
  name: string;
  bytes: Uint8Array;
  ignore: IgnoreFile | undefined;
}

const VERSION = "1.0.0";
const JSON_AND_TEXT = [{ name: "result.json" }, { name: "result.txt" }];

const REQUESTS = [
  {
    ...{ name: "frontend.outline", version: VERSION, type: "rpc" },
    description: "List all parameters current build target supports",
    opts: [{ name: "target", description: "Target build stage" }],
    metadata: JSON_AND_TEXT,
  },
  {
    ...{ name: "frontend.targets", version: VERSION, type: "rpc" },
    description: "List all targets current build supports",
    metadata: JSON_AND_TEXT,
  },
  {
    ...{ name: "frontend.lint", version: VERSION, type: "rpc" },
    description: "Lint a Dockerfile",
    metadata: [...JSON_AND_TEXT, { name: "result.statuscode" }],
  },
  {
    ...{ name: "frontend.subrequests.describe", version: VERSION, type: "rpc" },
    description: "List available subrequest types",
    metadata: JSON_AND_TEXT,
  },
];

/** Whether it can be answered without the Dockerfile. */
export const isDescribe = (name: string): boolean => name === "frontend.subrequests.describe";

export function describeRequests(): Metadata {
  const rows = REQUESTS.map(({ name, version, description }) => [
    ...[name.replace(/^frontend\./, ""), version, description],
  ]);
  return answer(REQUESTS, columns([["NAME", "VERSION", "DESCRIPTION"], ...rows], 1));
}

/** Throws invalid where the file is wrong, except for lint, which tells of it. */
export function answerRequest(
  engine: EngineContext,
  name: string,
  job: BuildJob,
  file: AskedFile,
): Metadata {
  switch (name) {
    case "frontend.lint":
      return lintAnswer(lintJob(engine, job, file));
    case "frontend.outline":
      return outlineAnswer(engine, job, file);
    case "frontend.targets":
      return targetsAnswer(file);
    default: {
      const known = REQUESTS.map((request) => request.name).join(", ");
      const message = `unsupported request ${name}: there are ${known}`;
      throw new GantryError("not-implemented", message);
    }
  }
}

/** The images that are here say more of a file than it does itself; none is fetched for that. */
function localBase(engine: EngineContext): (source: Source) => ImageConfigDocument | undefined {
  return (source) => {
    if (source.kind !== "image") return undefined;
    const familiar = familiarReference(parseReference(source.reference));
    const { images } = engine.storage;
    return (images.resolve(source.reference) ?? images.resolve(familiar))?.config;
  };
}

function lintJob(engine: EngineContext, job: BuildJob, file: AskedFile): LintResult {
  const [targetPlatform] = platformsOf(job);
  const request = {
    ...planOptions(job),
    ...(targetPlatform && { targetPlatform }),
    baseOf: localBase(engine),
    ...(file.ignore && {
      ignore: new IgnoreMatcher(readIgnoreFile(file.ignore.bytes, file.ignore.name)),
    }),
  };
  return lintDockerfile(file.bytes, request, file.name);
}

function lintAnswer(result: LintResult): Metadata {
  const failed = result.findings.length > 0 || result.error !== undefined;
  const text = formatLint(result);
  return { ...answer(lintJson(result), text), "result.statuscode": failed ? "1" : "0" };
}

function targetsAnswer(file: AskedFile): Metadata {
  const targets = targetsOf(parseDockerfile(file.bytes, file.name));
  const json = {
    targets: targets.map(({ name, isDefault, description, base, platform, range }) => ({
      ...(name && { name }),
      ...(isDefault && { default: true }),
      ...(description && { description }),
      base,
      ...(platform && { platform }),
      location: location(range),
    })),
    sources: [base64(file.bytes)],
  };
  const rows = targets.map(({ name = "(default)", isDefault, description = "" }) => [
    isDefault && name !== "(default)" ? `${name} (default)` : name,
    description,
  ]);
  return answer(json, columns([["TARGET", "DESCRIPTION"], ...rows], 3));
}

function outlineAnswer(engine: EngineContext, job: BuildJob, file: AskedFile): Metadata {
  const [targetPlatform] = platformsOf(job);
  const dockerfile = parseDockerfile(file.bytes, file.name);
  const plan = planBuild(dockerfile, {
    ...planOptions(job),
    ...(targetPlatform && { targetPlatform }),
  });
  const outline = outlineOf(plan, localBase(engine));
  const needs = (all: Outline["secrets"]) =>
    all.map(({ name, required, range }) => ({
      ...{ name, ...(required && { required }), location: location(range) },
    }));
  const { name, description, args, secrets, ssh, caches } = outline;
  const json = {
    ...(name && { name }),
    ...(description && { description }),
    args: args.map(({ range, ...arg }) => ({ ...arg, location: location(range) })),
    secrets: needs(secrets),
    ssh: needs(ssh),
    cache: caches.map(({ id, range }) => ({ ID: id, location: location(range) })),
    sources: [base64(file.bytes)],
  };
  const shown = Object.entries(json).filter(([, value]) => value.length > 0);
  return answer(Object.fromEntries(shown), outlineText(outline));
}

function outlineText({ name, description, args, secrets, ssh, caches }: Outline): string {
  const parts: string[] = [];
  const head = [
    ...(name ? [["TARGET:", name]] : []),
    ...(description ? [["DESCRIPTION:", description]] : []),
  ];
  if (head.length > 0) parts.push(columns(head, 3));
  const table = (title: string[], rows: string[][]) => {
    if (rows.length > 0) parts.push(columns([title, ...rows], 3));
  };
  const argRows = args.map((arg) => [arg.name, arg.value ?? "", arg.description ?? ""]);
  table(["BUILD ARG", "VALUE", "DESCRIPTION"], argRows);
  const needRows = (needs: Outline["secrets"]) =>
    needs.map((need) => [need.name, need.required ? "true" : ""]);
  table(["SECRET", "REQUIRED"], needRows(secrets));
  table(["SSH", "REQUIRED"], needRows(ssh));
  const cacheRows = caches.map(({ id }) => [id]);
  table(["CACHE"], cacheRows);
  return parts.join("\n");
}

function answer(json: unknown, text: string): Metadata {
  return { "result.json": JSON.stringify(json, null, 2), "result.txt": text, version: VERSION };
}

function location({ start, end }: SourceRange): object {
  return { ranges: [{ start: { line: start.line }, end: { line: end.line } }] };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** Lines with their cells beneath one another, `gap` blanks between. */
function columns(rows: readonly string[][], gap: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    }
  }
  const line = (row: string[]) =>
    row
      .map((cell, index) => cell.padEnd(index < row.length - 1 ? widths[index]! + gap : 0))
      .join("");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
