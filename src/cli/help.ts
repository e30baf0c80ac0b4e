// Help texts in the layout of docker's: usage, description, spellings, flags with wrapped texts.

import { type FlagSpec, type FlagSpecs, formatDuration } from "../base/index.ts";
import type { Command } from "./command.ts";
import type { CommandGroup } from "./commands/table.ts";
import { PROGRAM } from "./session.ts";

const DEFAULT_WIDTH = 80;
/** A last line may be this much longer, so that no single short word stands alone. */
const SLOP = 5;

const SHOWN_TYPES: Partial<Record<string, string>> = {
  int64: "int",
  uint16: "uint16",
  uint64: "uint",
  stringSlice: "strings",
  bytesOrUnlimited: "bytes",
  bool: "",
};

/** The help of one command. */
export function commandHelp(
  path: string,
  command: Command,
  { width = DEFAULT_WIDTH, examples = [] }: { width?: number; examples?: readonly string[] } = {},
): string {
  let out = `Usage:  ${PROGRAM} ${path}${command.usage === "" ? "" : ` ${command.usage}`}\n\n`;
  out += `${command.long ?? command.short}\n`;
  if (command.spellings && command.spellings.length > 1) {
    out += `\nAliases:\n  ${command.spellings.map((one) => `${PROGRAM} ${one}`).join(", ")}\n`;
  }
  if (command.examples) out += `\nExamples:\n${command.examples}\n`;
  else if (examples.length > 0) out += `\nExamples:\n  ${examples.join("\n  ")}\n`;
  const flags = flagUsages(command.flags, width);
  if (flags !== "") out += `\nOptions:\n${flags}`;
  return out;
}

/** The lines of a flag table, as pflag lays them out. */
export function flagUsages(flags: FlagSpecs, width = DEFAULT_WIDTH): string {
  const rows = Object.entries(flags)
    .filter(([, spec]) => !spec.hidden && spec.deprecated === undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]) => [flagHead(name, spec), (spec.usage ?? "") + defaultText(spec)] as const);
  const indent = Math.max(0, ...rows.map(([head]) => head.length)) + 3;
  return rows
    .map(([head, text]) => `${head.padEnd(indent)}${wrap(text, indent, width - 1)}\n`)
    .join("");
}

function flagHead(name: string, spec: FlagSpec): string {
  const letter = spec.shorthand === undefined ? "      " : `  -${spec.shorthand}, `;
  const type =
    spec.valueName ?? SHOWN_TYPES[spec.type] ?? (spec.type === "custom" ? "string" : spec.type);
  return `${letter}--${name}${type === "" ? "" : ` ${type}`}`;
}

function defaultText(spec: FlagSpec): string {
  const value: unknown = spec.default;
  if (value === undefined || value === "" || value === 0 || value === false) {
    return spec.type === "duration" ? " (default 0s)" : "";
  }
  if (typeof value === "string") return ` (default ${JSON.stringify(value)})`;
  if (spec.type === "duration") return ` (default ${formatDuration(value as number)})`;
  return typeof value === "object" ? "" : ` (default ${value})`;
}

function wrap(text: string, indent: number, width: number): string {
  const room = width - indent - SLOP;
  const lines: string[] = [];
  for (let rest = text; rest !== ""; ) {
    const [line, after] = takeLine(rest, Math.max(room, 24));
    lines.push(...line.split("\n"));
    rest = after;
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}

function takeLine(text: string, room: number): [string, string] {
  if (room + SLOP > text.length) return [text, ""];
  const head = text.slice(0, room);
  const newline = head.lastIndexOf("\n");
  const space = Math.max(head.lastIndexOf(" "), newline);
  if (space <= 0) return [text, ""];
  const cut = newline > 0 ? newline : space;
  return [text.slice(0, cut), text.slice(cut + 1)];
}

function list(title: string, rows: readonly (readonly [string, string])[]): string {
  if (rows.length === 0) return "";
  return `\n${title}:\n${rows.map(([name, short]) => `  ${name.padEnd(11)} ${short}\n`).join("")}`;
}

/** The help of `gantry container` and the like. */
export function groupHelp(name: string, group: CommandGroup): string {
  const all = Object.entries({ ...group.groups, ...group.commands });
  const rows = all.map(([verb, { short }]) => [verb, short] as const);
  return (
    `Usage:  ${PROGRAM} ${name} COMMAND\n\n${group.short}\n` +
    list("Commands", rows) +
    `\nRun '${PROGRAM} ${name} COMMAND --help' for more information on a command.\n`
  );
}

export interface RootEntry {
  name: string;
  short: string;
  section: "common" | "management" | "other";
}

/** The help of the program itself. */
export function rootHelp(entries: readonly RootEntry[], flags: FlagSpecs, width?: number): string {
  const of = (section: RootEntry["section"]) =>
    entries.filter((entry) => entry.section === section).map((e) => [e.name, e.short] as const);
  return (
    `Usage:  ${PROGRAM} [OPTIONS] COMMAND\n\nA complete container platform\n` +
    list("Common Commands", of("common")) +
    list("Management Commands", of("management")) +
    list("Commands", of("other")) +
    `\nGlobal Options:\n${flagUsages(flags, width)}` +
    `\nRun '${PROGRAM} COMMAND --help' for more information on a command.\n`
  );
}
