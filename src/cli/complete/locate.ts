// Which part of a command line is being completed: a command's name, a flag, a flag's value or an
// argument. The words before it are read leniently, because an unfinished line is rarely valid.

import { type FlagSpec, type FlagSpecs, parseFlags } from "../../base/index.ts";
import type { Command } from "../command.ts";
import { type CommandEntry, type CommandGroup, GROUPS, ROOT_COMMANDS } from "../commands/table.ts";
import { GLOBAL_FLAGS } from "../global-flags.ts";
import type { Globals } from "../session.ts";

/** A group as a command line reaches it; the program itself is one, too. */
export type Place = Pick<CommandGroup, "commands" | "groups" | "aliases">;

export const PROGRAM_PLACE: Place = { commands: ROOT_COMMANDS, groups: GROUPS, aliases: {} };

export type Located =
  | { kind: "commands"; place: Place; isRoot: boolean }
  | { kind: "flags"; specs: FlagSpecs; given: ReadonlySet<string> }
  | { kind: "value"; path: string; flag: string; words: Words }
  | { kind: "argument"; path: string; command: Command; words: Words }
  | { kind: "foreign"; name: string; args: string[] }
  | { kind: "nothing" };

export interface Line {
  globals: Globals;
  located: Located;
  /** The text that every candidate begins with. */
  prefix: string;
}

/** What stands before the word that is completed. */
export interface Words {
  flags: Map<string, string[]>;
  args: string[];
}

interface Read extends Words {
  /** A flag that still wants its value. */
  pending?: string;
  /** Flags are no longer read: after "--", or after the image of `run`. */
  ended: boolean;
}

/** Reads what has been typed; the last word is the one to complete, and may be empty. */
export async function locate(typed: readonly string[]): Promise<Line> {
  const words = [...typed];
  const last = words.pop() ?? "";
  const head = readWords(GLOBAL_FLAGS, words, true);
  const globals = parseGlobals(words.slice(0, words.length - head.args.length));
  const at = (located: Located, prefix = last): Line => ({ globals, located, prefix });
  if (head.args.length === 0) {
    const flag = flagAt(GLOBAL_FLAGS, head, last, "");
    if (flag) return at(flag.located, flag.prefix);
    return at({ kind: "commands", place: PROGRAM_PLACE, isRoot: true });
  }
  return locateIn(PROGRAM_PLACE, "", head.args, last, at);
}

type At = (located: Located, prefix?: string) => Line;

async function locateIn(
  place: Place,
  path: string,
  words: readonly string[],
  last: string,
  at: At,
): Promise<Line> {
  const [word, ...rest] = words;
  if (word === undefined) {
    if (last.startsWith("-")) return at({ kind: "flags", specs: {}, given: new Set() });
    return at({ kind: "commands", place, isRoot: path === "" });
  }
  if (path === "" && word === "help") return locateIn(place, "", rest, last, at);
  const known = own(place.aliases, word) ?? word;
  const here = path === "" ? known : `${path} ${known}`;
  const group = own(place.groups ?? {}, known);
  const entry = own(place.commands, known);
  if (group && (!entry || own(group.commands, rest[0] ?? "")))
    return locateIn(group, here, rest, last, at);
  if (entry) return locateCommand(entry, canonicalPath(entry) ?? here, rest, last, at);
  if (path === "") return at({ kind: "foreign", name: word, args: [...rest, last] });
  return at({ kind: "nothing" });
}

async function locateCommand(
  entry: CommandEntry,
  path: string,
  words: readonly string[],
  last: string,
  at: At,
): Promise<Line> {
  const command = (await entry.load()) as Command;
  const read = readWords(command.flags, words, command.stopAtArgument === true);
  const flag = flagAt(command.flags, read, last, path);
  if (flag) return at(flag.located, flag.prefix);
  return at({ kind: "argument", path, command, words: read });
}

/** The last word as a flag or as a flag's value; undefined where it is neither. */
function flagAt(
  specs: FlagSpecs,
  read: Read,
  last: string,
  path: string,
): { located: Located; prefix: string } | undefined {
  const value = (flag: string, prefix: string) => ({
    located: { kind: "value", path, flag, words: read } as const,
    prefix,
  });
  if (read.pending !== undefined) return value(read.pending, last);
  if (read.ended || !last.startsWith("-")) return undefined;
  const equals = last.indexOf("=");
  if (equals > 0) {
    const name = flagNamed(specs, last.slice(0, equals));
    const prefix = last.slice(equals + 1);
    return name === undefined ? { located: { kind: "nothing" }, prefix } : value(name, prefix);
  }
  const given = new Set(read.flags.keys());
  return { located: { kind: "flags", specs, given }, prefix: last };
}

/** Reads finished words; what is unknown is passed over. */
export function readWords(specs: FlagSpecs, words: readonly string[], stops: boolean): Read {
  const read: Read = { flags: new Map(), args: [], ended: false };
  const note = (name: string, value: string) =>
    read.flags.set(name, [...(read.flags.get(name) ?? []), value]);
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (read.ended || !word.startsWith("-") || word === "-") {
      read.args.push(word);
      if (stops) read.ended = true;
      continue;
    }
    if (word === "--") {
      read.ended = true;
      continue;
    }
    const equals = word.indexOf("=");
    const name = flagNamed(specs, equals > 0 ? word.slice(0, equals) : word);
    if (name === undefined) continue;
    if (equals > 0 || !wantsValue(specs[name]!)) note(name, word.slice(equals + 1));
    else if (!word.startsWith("--") && !endsWithLetterOf(specs[name]!, word)) {
      note(name, word.slice(2));
    } else if (at === words.length - 1) read.pending = name;
    else note(name, words[++at]!);
  }
  return read;
}

function endsWithLetterOf({ shorthand }: FlagSpec, word: string): boolean {
  return shorthand !== undefined && word.endsWith(shorthand);
}

/** The flag that "--name", "-n" or the last letter of "-itn" stands for. */
function flagNamed(specs: FlagSpecs, word: string): string | undefined {
  const entries = Object.entries(specs);
  if (word.startsWith("--")) {
    const written = word.slice(2);
    return entries.find(
      ([name, spec]) => name === written || (spec.aliases?.includes(written) ?? false),
    )?.[0];
  }
  for (const letter of word.slice(1)) {
    const found = entries.find(([, spec]) => spec.shorthand === letter);
    if (found === undefined) return undefined;
    if (wantsValue(found[1]) || word.endsWith(letter)) return found[0];
  }
  return undefined;
}

export function wantsValue(spec: FlagSpec): boolean {
  return spec.type !== "bool" && spec.noOptionDefault === undefined;
}

function parseGlobals(words: readonly string[]): Globals {
  try {
    return parseFlags(GLOBAL_FLAGS, words, { interspersed: false });
  } catch {
    return parseFlags(GLOBAL_FLAGS, []);
  }
}

let paths: Map<CommandEntry, string> | undefined;

/** `ps` and `container ls` are one entry; its path is the one within a group. */
export function canonicalPath(entry: CommandEntry): string | undefined {
  if (paths === undefined) {
    paths = new Map();
    collect(paths, PROGRAM_PLACE, "");
  }
  return paths.get(entry);
}

function collect(into: Map<CommandEntry, string>, place: Place, path: string): void {
  const join = (name: string) => (path === "" ? name : `${path} ${name}`);
  for (const [name, group] of Object.entries(place.groups ?? {})) collect(into, group, join(name));
  for (const [name, entry] of Object.entries(place.commands)) {
    if (!into.has(entry)) into.set(entry, join(name));
  }
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
