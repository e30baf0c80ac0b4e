// `gantry __complete WORD…`: the protocol between cobra's shell scripts and a program. A candidate
// a line, its description behind a tab, at the end what the shell does besides (":4"). Whatever
// goes wrong, the shell gets an answer: an error of a completion would spoil the line that is
// typed.

import type { FlagSpecs } from "../../base/index.ts";
import { printable } from "../format/style.ts";
import type { Io } from "../io.ts";
import { Session } from "../session.ts";
import { type Line, type Located, locate, type Place } from "./locate.ts";
import { ARGUMENT_RULES, flagRule } from "./rules.ts";
import { type Candidate, DIRECTIVE, type Rule } from "./sources.ts";

/** A shell waits for the answer: a daemon that is slower offers nothing. */
const ANSWER_MS_MAX = 3_000;
/** What a shell does not take as it is. Shells put a candidate into the line unquoted, and names
 * come from a daemon, which need not be one of ours; none of docker's names has any of these. */
const ACTS = /[\p{C}\s"'`$&|;<>(){}[\]\\*?#~]|!(?!=)|^:/u;

interface Answer {
  candidates: Candidate[];
  directive: number;
}

/** Prints what may follow the words; always 0. */
export async function complete(
  io: Io,
  typed: readonly string[],
  { descriptions }: { descriptions: boolean },
): Promise<number> {
  const { candidates, directive } = await answer(io, typed).catch(() => ({
    candidates: [],
    directive: DIRECTIVE.error,
  }));
  const lines = candidates.map(({ value, description }) => {
    const about = printable(description?.split("\n", 1)[0] ?? "");
    return descriptions && about !== "" ? `${value}\t${about}\n` : `${value}\n`;
  });
  io.stdout.write(`${lines.join("")}:${directive}\n`);
  io.stderr.write(`Completion ended with directive: ${directiveText(directive)}\n`);
  return 0;
}

async function answer(io: Io, typed: readonly string[]): Promise<Answer> {
  const line = await locate(typed);
  const { located, globals, prefix } = line;
  if (located.kind === "foreign") {
    const { completePlugin } = await import("../plugins/complete.ts");
    return completePlugin(io, globals, located);
  }
  const session = new Session(io, globals);
  try {
    const { candidates, directive } = await answerFor(session, line);
    const seen = new Set<string>();
    const fitting = candidates.filter(({ value }) => {
      if (!value.startsWith(prefix) || seen.has(value) || ACTS.test(value)) return false;
      seen.add(value);
      return true;
    });
    return { candidates: fitting, directive };
  } finally {
    (await session.openedClient?.catch(() => undefined))?.cut();
  }
}

async function answerFor(session: Session, { located, prefix }: Line): Promise<Answer> {
  const { noFiles, files } = DIRECTIVE;
  switch (located.kind) {
    case "commands":
      return { candidates: await commandNames(session, located), directive: noFiles };
    case "flags":
      return { candidates: flagNames(located.specs, located.given), directive: noFiles };
    case "value": {
      const rule = flagRule(located.path, located.flag);
      return rule ? byRule(session, rule, located, prefix) : { candidates: [], directive: files };
    }
    case "argument": {
      const { path, command } = located;
      if (command.args.max === 0) return { candidates: [], directive: noFiles };
      const rule = ARGUMENT_RULES[path];
      return rule ? byRule(session, rule, located, prefix) : { candidates: [], directive: noFiles };
    }
    default:
      return { candidates: [], directive: noFiles };
  }
}

async function byRule(
  session: Session,
  { source, directive = DIRECTIVE.noFiles }: Rule,
  located: Extract<Located, { kind: "value" | "argument" }>,
  prefix: string,
): Promise<Answer> {
  if (!source) return { candidates: [], directive };
  const { words } = located;
  const found = await inTime(source({ session, words, prefix }).catch(() => []));
  const given = new Set(located.kind === "argument" ? words.args : words.flags.get(located.flag));
  return { candidates: found.filter(({ value }) => !given.has(value)), directive };
}

async function inTime(found: Promise<Candidate[]>): Promise<Candidate[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Candidate[]>((resolve) => {
    timer = setTimeout(() => resolve([]), ANSWER_MS_MAX);
  });
  try {
    return await Promise.race([found, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function commandNames(
  session: Session,
  { place, isRoot }: { place: Place; isRoot: boolean },
): Promise<Candidate[]> {
  const named = { ...place.groups, ...place.commands };
  const candidates: Candidate[] = Object.entries(named).map(([value, { short }]) => ({
    value,
    description: short,
  }));
  if (isRoot) {
    candidates.push({ value: "help", description: "Show how a command is used" });
    candidates.push({ value: "daemon", description: "Run the daemon" });
    candidates.push({ value: "registry", description: "Run a registry of images" });
    const { findPlugins } = await import("../plugins/find.ts");
    for (const { name, short } of await findPlugins(session)) {
      candidates.push({ value: name, ...(short ? { description: short } : {}) });
    }
  }
  return candidates.sort((a, b) => (a.value < b.value ? -1 : 1));
}

const REPEATABLE = ["list", "stringArray", "stringSlice", "map", "custom"];

function flagNames(specs: FlagSpecs, given: ReadonlySet<string>): Candidate[] {
  const candidates: Candidate[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.hidden || spec.deprecated !== undefined) continue;
    if (given.has(name) && !REPEATABLE.includes(spec.type)) continue;
    const description = spec.usage ? { description: spec.usage } : {};
    candidates.push({ value: `--${name}`, ...description });
    if (spec.shorthand !== undefined)
      candidates.push({ value: `-${spec.shorthand}`, ...description });
  }
  candidates.push({ value: "--help", description: "Show how the command is used" });
  return candidates.sort((a, b) => (a.value < b.value ? -1 : 1));
}

function directiveText(directive: number): string {
  const { error, noSpace, noFiles, fileEndings, folders, keepOrder } = DIRECTIVE;
  const names = (
    [
      [error, "Error"],
      [noSpace, "NoSpace"],
      [noFiles, "NoFileComp"],
      [fileEndings, "FilterFileExt"],
      [folders, "FilterDirs"],
      [keepOrder, "KeepOrder"],
    ] as const
  ).filter(([bit]) => (directive & bit) !== 0);
  const shown = names.length === 0 ? ["Default"] : names.map(([, name]) => name);
  return shown.map((name) => `ShellCompDirective${name}`).join(", ");
}
