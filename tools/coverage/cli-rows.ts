// The command line's rows: every command, other spelling and flag that docker has, and whether our
// tables have it: a flag with the same name, the same letter, the same kind of value and the same
// default.

import type { FlagSpec, FlagSpecs } from "../../src/base/index.ts";
import type { Command } from "../../src/cli/command.ts";
import { type CommandGroup, GROUPS, ROOT_COMMANDS } from "../../src/cli/commands/table.ts";
import { GLOBAL_FLAGS } from "../../src/cli/global-flags.ts";
import { type CommandFact, commands } from "./facts.ts";
import { FlagUse } from "./flag-use.ts";
import type { Row } from "./rows.ts";

export async function cliRows(facts: readonly CommandFact[] = commands()): Promise<Row[]> {
  const use = await new FlagUse().load();
  return (await Promise.all(facts.map((fact) => rowsOf(fact, use)))).flat();
}

async function rowsOf(fact: CommandFact, use: FlagUse): Promise<Row[]> {
  const found = await resolve(fact.path);
  const note = fact.swarm ? "of a swarm" : undefined;
  if (found === undefined) {
    return [{ name: fact.path, status: "missing", ...(note === undefined ? {} : { note }) }];
  }
  const rows: Row[] = [{ name: fact.path, status: "have" }];
  for (const alias of fact.aliases) {
    const there = (await resolve(alias)) !== undefined;
    rows.push({ name: `${fact.path} alias ${alias}`, status: there ? "have" : "missing" });
  }
  for (const word of fact.flags.split(" ").filter((flag) => flag !== "")) {
    const flag = parseFlagFact(word);
    const status = flagStatus(flag, found, use);
    // A node in no swarm refuses before it looks at what a flag says: to read it is all there is.
    const isRead = fact.swarm && status.status === "unchecked";
    const known: Omit<Row, "name"> = isRead ? { status: "have" } : status;
    rows.push({ name: `${fact.path} --${flag.name}`, ...known });
  }
  return rows;
}

function flagStatus(flag: FlagFact, { command, flags }: Found, use: FlagUse): Omit<Row, "name"> {
  const why = difference(flag, flags);
  if (why !== undefined) return { status: "missing", note: why };
  const isOwn = command !== undefined && Object.hasOwn(flags, flag.name);
  return isOwn && flag.name !== "help" && !use.isNamed(command, flag.name)
    ? { status: "unchecked", note: "declared, no sign of its use" }
    : { status: "have" };
}

/** `command` is absent for groups and for the program itself. */
type Found = { flags: FlagSpecs; command?: Command };

/** The command or group that the words name; undefined where there is none. */
async function resolve(path: string): Promise<Found | undefined> {
  const [, ...words] = path.split(" ");
  const last = words.pop();
  if (last === undefined) return { flags: GLOBAL_FLAGS };
  let group: Omit<CommandGroup, "short"> = {
    commands: ROOT_COMMANDS,
    groups: GROUPS,
    aliases: {},
  };
  for (const word of words) {
    const next = own(group.groups ?? {}, own(group.aliases, word) ?? word);
    if (next === undefined) return undefined;
    group = next;
  }
  const known = own(group.aliases, last) ?? last;
  const entry = own(group.commands, known);
  if (entry !== undefined) {
    const command = (await entry.load()) as Command;
    return { flags: command.flags, command };
  }
  const found = own(group.groups ?? {}, known);
  return found && { flags: found.flags ?? {} };
}

function own<T>(record: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

export interface FlagFact {
  name: string;
  letter?: string;
  /** Absent for switches. */
  type?: string;
  default?: string;
}

/** "-n/--last:int=-1", "--ipv4=true", "--net(hidden=--network)". */
export function parseFlagFact(word: string): FlagFact {
  const parts = /^(?:-(\w)\/)?--([\w-]+)(?::([\w-]+))?(?:=([^(]*))?(?:\((.*)\))?$/.exec(word);
  if (parts === null) throw new Error(`What is the flag ${word}?`);
  const [, letter, name, type, value, remark] = parts;
  const alias = remark?.startsWith("hidden=") ?? false;
  return {
    name: name!,
    ...(letter === undefined ? {} : { letter }),
    ...(alias ? { type: "alias" } : type === undefined ? {} : { type }),
    ...(value === undefined ? {} : { default: value }),
  };
}

/** In what our flag differs from docker's; undefined where it does not. */
export function difference(fact: FlagFact, flags: FlagSpecs): string | undefined {
  const [name, spec] =
    Object.entries(flags).find(
      ([own, { aliases }]) => own === fact.name || aliases?.includes(fact.name),
    ) ?? [];
  if (name === undefined || spec === undefined) return fact.name === "help" ? undefined : "no flag";
  if (fact.letter !== undefined && spec.shorthand !== fact.letter) return `no -${fact.letter}`;
  if (fact.type === "alias") return undefined;
  const isSwitch = spec.type === "bool" || spec.noOptionDefault !== undefined;
  if (fact.type === undefined && !isSwitch) return "wants a value, docker's is a switch";
  if (fact.type !== undefined && spec.type === "bool") return "a switch, docker's takes a value";
  const value = defaultText(spec);
  if (fact.default === undefined || value === undefined || value === fact.default) return undefined;
  return `defaults to ${value}, docker's to ${fact.default}`;
}

/** A default that can be compared with docker's text: switches, words and counts. */
function defaultText(spec: FlagSpec): string | undefined {
  if (!["bool", "string", "int", "int64"].includes(spec.type)) return undefined;
  if (spec.type === "bool") return String(spec.default ?? false);
  return spec.default === undefined ? undefined : String(spec.default);
}
