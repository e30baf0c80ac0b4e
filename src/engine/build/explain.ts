// Why a step runs, or why it does not have to (--explain): what it depends on now is compared with
// what it depended on when it was last there, at the same place of the same Dockerfile. Values are
// kept as digests, since they may be secrets; names are shown.

import type { Operation, Vertex, VertexLookup } from "../../build/index.ts";
import { chainIds, digestOf, hexOf } from "../../spec/index.ts";

/** What a step depended on, small enough to keep. */
export interface StepMemo {
  /** As progress shows it, without its numbers. */
  text: string;
  key: string;
  /** The file system beneath, and who made it. */
  base: string;
  baseName: string;
  /** What else the key is made of, by the words that people know. */
  parts: Readonly<Record<string, string>>;
  env: Readonly<Record<string, string>>;
  reads: readonly ReadMemo[];
}
export interface ReadMemo {
  /** "src/", "/out of stage build". */
  label: string;
  digest: string;
  /** By path; absent where there are too many, or where it is not known. */
  files?: Readonly<Record<string, string>>;
}
/** The files of a selection and what each is, where an index tells at once. */
export type ListFiles = (
  selection: VertexLookup["reads"][number]["selection"],
) => Promise<Readonly<Record<string, string>> | undefined>;

const SHORT_DIGITS = 12;
const NAMES_MAX = 5;
/** Variables of a step whose changes can be named. */
const NAMED_ENV_MAX = 200;
const BASE_IMAGE = "the base image";

export async function memoOf(
  { label, operation, base: input }: Vertex,
  { key, from, reads }: Pick<VertexLookup, "key" | "from" | "reads">,
  list: ListFiles,
): Promise<StepMemo> {
  const links = operation.kind === "copy" && operation.link;
  const base = links ? "" : (chainIds(from.layers).at(-1) ?? "scratch");
  const sources = sourceNames(operation);
  const memos = reads.map(async ({ selection, digest }, index): Promise<ReadMemo> => {
    const files = await list(selection);
    const paths = selection.paths.map(({ written }) => written || ".").join(" ");
    const name = `${paths}${sources[index] ?? ""}`;
    return { label: name, digest: short(digest), ...(files && { files }) };
  });
  return {
    ...{
      text: textOf(label),
      key,
      base,
      baseName: baseNameOf(input),
      parts: partsOf(operation),
      env: envOf(operation),
    },
    reads: await Promise.all(memos),
  };
}

/** What differs, in words; "" when nothing does. */
export function difference(before: StepMemo, now: StepMemo): string {
  const said: string[] = [];
  if (before.base !== now.base) said.push(baseChange(now.baseName));
  for (const name of namesOf(before.parts, now.parts)) {
    if (before.parts[name] !== now.parts[name]) said.push(`the ${name} changed`);
  }
  said.push(...changedNames(before.env, now.env, "in the environment"));
  for (const [index, read] of now.reads.entries()) {
    const known = before.reads[index];
    if (known?.digest !== read.digest) said.push(changedFiles(known, read));
  }
  return said.join("; ");
}

function changedFiles(before: ReadMemo | undefined, { label, files }: ReadMemo): string {
  if (before?.files === undefined || files === undefined) return `${label} changed`;
  const said = changedNames(before.files, files, "");
  return said.length > 0 ? said.join(", ") : `${label} changed`;
}

/** "a changed", "b is new", "c is gone"; many of a kind are counted. */
function changedNames(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
  where: string,
): string[] {
  const names = namesOf(before, now);
  const has = (record: Readonly<Record<string, string>>, name: string) =>
    Object.hasOwn(record, name);
  const kinds = {
    changed: names.filter(
      (name) => has(before, name) && has(now, name) && before[name] !== now[name],
    ),
    "is new": names.filter((name) => !has(before, name)),
    "is gone": names.filter((name) => !has(now, name)),
  };
  const place = where === "" ? "" : ` ${where}`;
  return Object.entries(kinds).flatMap(([verb, all]) => {
    if (all.length === 0) return [];
    const shown = all.slice(0, NAMES_MAX).join(", ");
    const more = all.length > NAMES_MAX ? ` and ${all.length - NAMES_MAX} more` : "";
    const plural = all.length > 1 ? verb.replace(/^is/, "are") : verb;
    return `${shown}${more}${place} ${plural}`;
  });
}

const namesOf = (a: object, b: object): string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();

/** The whole sentence. `before`: the memo of the last time; undefined: there was none. */
export function reasonOf(
  before: StepMemo | undefined,
  now: StepMemo,
  { found, fresh }: Pick<VertexLookup, "found" | "fresh">,
): string {
  const changed = before === undefined ? "" : difference(before, now);
  if (found) {
    if (before === undefined) return "cached: an equal step has run elsewhere";
    return changed === "" ? "cached: nothing changed" : `cached, as it was once before: ${changed}`;
  }
  if (changed !== "") return `runs: ${changed}`;
  if (fresh) return "runs: the cache is not to be used (--no-cache)";
  if (before === undefined) return "runs: it has not run here before";
  return "runs: its result is no longer in the cache";
}

/** Another instruction may have moved: by its text first, by its place else. */
export function formerOf(
  memos: readonly (StepMemo | undefined)[],
  { text }: Pick<StepMemo, "text">,
  index: number,
): StepMemo | undefined {
  if (memos[index]?.text === text) return memos[index];
  const same = memos.filter((memo) => memo?.text === text);
  if (same.length === 1) return same[0];
  const [verb] = text.split(" ", 1);
  return memos[index]?.text.split(" ", 1)[0] === verb ? memos[index] : undefined;
}

function baseChange(name: string): string {
  return name === BASE_IMAGE ? `${name} is another one` : `${name} made other files`;
}

function baseNameOf(base: Vertex["base"]): string {
  if (base.kind === "vertex") return textOf(base.vertex.label);
  return BASE_IMAGE;
}

/** "[build 2/5] RUN x" → "RUN x": numbers change when a line is put in before. */
export function textOf(label: string): string {
  return label.replace(/^\[[^\]]*\] /, "");
}

function partsOf(operation: Operation): Record<string, string> {
  switch (operation.kind) {
    case "run": {
      const { args, user, workingDir, network, security, script, mounts } = operation;
      const kinds = mounts.map(({ mount }) => ({ ...mount, mode: undefined }));
      return shortened({
        ...{ command: [args, script ?? null], user, folder: workingDir },
        ...{ "network mode": network, "security mode": security, mounts: kinds },
      });
    }
    case "copy": {
      const { destination, chown = "", chmod = null, inline, sources } = operation;
      const { exclude, parents, unpack, link } = operation;
      const paths = sources.map((source) => source.paths);
      return shortened({
        ...{
          destination,
          owner: chown,
          mode: chmod,
          "inline text": inline,
          "list of sources": paths,
        },
        flags: [exclude, parents, unpack, link],
      });
    }
    case "folder":
      return shortened({ path: operation.path, user: operation.user });
  }
}

function envOf(operation: Operation): Record<string, string> {
  if (operation.kind !== "run") return {};
  if (operation.env.length > NAMED_ENV_MAX) return shortened({ something: operation.env });
  const pairs = operation.env.map((entry) => {
    const [name = "", ...value] = entry.split("=");
    return [name, value.join("=")] as const;
  });
  return shortened(Object.fromEntries(pairs));
}

function shortened(parts: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parts).map(([name, value]) => [name, short(digestOf(JSON.stringify(value)))]),
  );
}

const short = (digest: string): string => hexOf(digest).slice(0, SHORT_DIGITS);

/** Where each thing that is read comes from, for people: "" is the context. */
function sourceNames(operation: Operation): string[] {
  const inputs =
    operation.kind === "copy"
      ? operation.sources.map(({ from }) => from)
      : operation.kind === "run"
        ? operation.mounts.filter(({ mount }) => mount.type === "bind").map(({ from }) => from)
        : [];
  return inputs.map((from) => {
    if (from.kind === "vertex")
      return ` of ${/^\[(\S+)/.exec(from.vertex.label)?.[1] ?? "a stage"}`;
    if (from.kind === "context") return from.name === "" ? "" : ` of ${from.name}`;
    return from.kind === "root" ? " of an image" : "";
  });
}
