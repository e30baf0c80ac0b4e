// One case built by our daemon through the classic door, or checked by the library, and how what
// came out differs from what is expected.

import { text } from "node:stream/consumers";
import type Docker from "dockerode";
import { IgnoreMatcher, lintDockerfile, lintJson, readIgnoreFile } from "../../src/build/index.ts";
import { BASE_HISTORY, contextFiles, contextTar } from "./base.ts";
import type { Case, ContextFile } from "./case.ts";
import { type ImageFacts, imageFacts } from "./image-facts.ts";

/** What came of a case. */
export interface Outcome {
  image?: ImageFacts;
  error?: string;
  /** BuildKit's answer to --call=check, a line for each finding. */
  check?: string[];
}

/** Runs `work` for all, several at once, those that others build on before these. */
export async function order(
  cases: readonly Case[],
  atOnce: number,
  work: (c: Case) => Promise<void>,
): Promise<void> {
  const running = new Map<string, Promise<void>>();
  let free = atOnce;
  const waiting: (() => void)[] = [];
  const slot = async () => {
    if (free-- <= 0) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const leave = () => {
    free++;
    waiting.shift()?.();
  };
  for (const c of cases) {
    const before = c.after === undefined ? undefined : running.get(c.after);
    const one = async () => {
      await before;
      await slot();
      await work(c).finally(leave);
    };
    running.set(c.name, one());
  }
  await Promise.all(running.values());
}

export async function buildCase(docker: Docker, c: Case): Promise<Outcome> {
  try {
    return await built(docker, c);
  } catch (error) {
    // What is wrong with the request or the file is refused before the stream begins.
    const refusal = error as { statusCode?: number; message: string };
    if (refusal.statusCode === undefined) throw error;
    return { error: refusal.message.replace(/^.*?\(HTTP code \d+\) \S+(?: \S+)? - /, "").trim() };
  }
}

async function built(docker: Docker, c: Case): Promise<Outcome> {
  const files = contextFiles(c);
  const stream = await docker.buildImage(contextTar(ignored(files)) as never, {
    ...{ t: c.name, networkmode: "none", target: c.target },
    buildargs: c.buildArgs as never,
    labels: c.labels as never,
  });
  const output = await text(stream);
  const messages = output.split("\r\n").flatMap((line) => (line ? [JSON.parse(line)] : []));
  const error = messages.find((message) => "error" in message)?.error as string | undefined;
  if (error !== undefined) return { error };
  const archive = await docker.getImage(c.name).get();
  return { image: await imageFacts(archive as never, BASE_HISTORY) };
}

/** What the client would leave out. */
function ignored(files: Record<string, ContextFile>): Record<string, ContextFile> {
  const rules = files[".dockerignore"];
  if (typeof rules !== "string") return files;
  const matcher = new IgnoreMatcher(readIgnoreFile(rules));
  const kept = Object.entries(withFolders(files)).filter(
    ([path]) => path === "Dockerfile" || path === ".dockerignore" || !matcher.ignores(path),
  );
  return Object.fromEntries(kept);
}

/** A folder may stay when all that it holds is left out. */
function withFolders(files: Record<string, ContextFile>): Record<string, ContextFile> {
  const all: Record<string, ContextFile> = {};
  for (const [path, file] of Object.entries(files)) {
    const parts = path.split("/").slice(0, -1);
    for (const at of parts.keys()) {
      all[parts.slice(0, at + 1).join("/")] ??= { kind: "folder" };
    }
    all[path] = file;
  }
  return all;
}

const PLATFORM = { os: "linux", architecture: "amd64" };
const BASE_CONFIG = {
  ...PLATFORM,
  config: { Env: ["PATH=/bin"], Cmd: ["/bin/true"] },
  rootfs: { type: "layers", diff_ids: [] },
};

/** What our checks say of it, as `checkLines` has it. */
export function checkCase(c: Case): string[] {
  const rules = c.files?.[".dockerignore"];
  const result = lintDockerfile(c.dockerfile, {
    buildPlatform: PLATFORM,
    buildArgs: c.buildArgs ?? {},
    ...(c.target && { target: c.target }),
    ...(typeof rules === "string" && { ignore: new IgnoreMatcher(readIgnoreFile(rules)) }),
    baseOf: (source) =>
      source.kind === "image" && /^(?:docker.io\/library\/)?base(?::latest)?$/.test(source.written)
        ? (BASE_CONFIG as never)
        : undefined,
  });
  return checkLines(lintJson(result) as never, c.dockerfile);
}

interface Located {
  location?: { ranges?: { start: { line: number }; end: { line: number } }[] };
}
interface CheckJson {
  warnings?: (Located & { ruleName: string; detail: string; description: string; url?: string })[];
  buildError?: Located & { message: string };
  sources?: { data: string }[];
}

/** "Rule 2-3: detail", the error, and the file's bytes where they are not those of the case. */
export function checkLines(json: CheckJson, dockerfile: string): string[] {
  const said = (json.warnings ?? []).map(
    (warning) => `${warning.ruleName} ${place(warning)}: ${warning.detail}`,
  );
  if (json.buildError) said.push(`error ${place(json.buildError)}: ${json.buildError.message}`);
  for (const { data } of json.sources ?? []) {
    const bytes = Buffer.from(data, "base64").toString();
    if (bytes !== dockerfile) said.push(`data ${JSON.stringify(bytes)}`);
  }
  return said.sort();
}

/** Ranges as one where they touch: stock gives each line of a here-document its own. */
function place({ location }: Located): string {
  const merged: [number, number][] = [];
  for (const { start, end } of location?.ranges ?? []) {
    const last = merged.at(-1);
    if (last && start.line <= last[1] + 1) last[1] = Math.max(last[1], end.line);
    else merged.push([start.line, end.line]);
  }
  return merged.map((range) => range.join("-")).join(",");
}

/** Our classic door says the place in the message; a modern one apart. */
const bare = (error: string | undefined): string | undefined =>
  error?.replace(/\nDockerfile:.*$/s, "").replace(/^dockerfile parse error on line \d+: /, "");

/** What the classic builder's door has no way to give. */
export const needsSession = (c: Case): boolean =>
  Boolean(c.secrets || c.ssh || c.allow || c.contexts);

/** A line for each thing that is not as expected. */
export function differences(c: Case, ours: Outcome, wanted: Outcome): string[] {
  const found: string[] = [];
  const compare = (what: string, a: unknown, b: unknown) => {
    if (JSON.stringify(a) === JSON.stringify(b)) return;
    found.push(
      `${what}: ours ${JSON.stringify(a)}\n${" ".repeat(what.length)} stock ${JSON.stringify(b)}`,
    );
  };
  if (ours.check) compare("check", ours.check, wanted.check);
  if (c.check === "only") return found;
  if (ours.error !== undefined || wanted.error !== undefined) {
    compare("error", bare(ours.error), bare(wanted.error));
    return found;
  }
  const keys = (a: object = {}, b: object = {}) => new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const kind of ["config", "files"] as const) {
    const [a, b] = [ours.image![kind], wanted.image![kind]] as Record<string, unknown>[];
    for (const key of keys(a, b)) compare(`${kind} ${key}`, a![key], b![key]);
  }
  const history = keys(ours.image!.history, wanted.image!.history);
  for (const at of history) {
    compare(`history ${at}`, ours.image!.history[+at], wanted.image!.history[+at]);
  }
  compare("author", ours.image!.author, wanted.image!.author);
  return found;
}
