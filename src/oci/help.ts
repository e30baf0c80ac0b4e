// The help texts, in the shape of runc's: what all that drive a runtime expect to be able to ask.

import type { Command } from "./command.ts";
import type { Flag, FlagTable } from "./flags.ts";
import { NAME, versionText } from "./version.ts";

const PLACE: Readonly<Record<Flag["kind"], string>> = {
  bool: "",
  string: " value",
  list: " value",
  int: " value",
  ints: " value",
  duration: " value",
};

function flagLines(flags: FlagTable): string {
  const rows = Object.entries(flags)
    .filter(([, { hidden }]) => !hidden)
    .map(([name, { kind, short, about }]) => {
      const value = PLACE[kind];
      return [`--${name}${value}${short ? `, -${short}${value}` : ""}`, about] as const;
    });
  return columns(rows);
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `   ${left.padEnd(width)}  ${right}\n`).join("");
}

export function commandHelp(name: string, { about, flags, usage, more }: Command): string {
  const options = flagLines(flags);
  const head = `NAME:\n   ${NAME} ${name} - ${about}\n\nUSAGE:\n   ${NAME} ${name}`;
  const line = `${options ? " [command options]" : ""}${usage ? ` ${usage}` : ""}\n`;
  return `${head}${line}${more ? `\n${more}\n` : ""}${options ? `\nOPTIONS:\n${options}` : ""}`;
}

export function programHelp(commands: Readonly<Record<string, Command>>, flags: FlagTable): string {
  const rows = Object.entries(commands).map(([name, { about }]) => [name, about] as const);
  return `NAME:
   ${NAME} - an Open Container Initiative runtime

USAGE:
   ${NAME} [global options] command [command options] [arguments...]

VERSION:
   ${versionText().trim().replace(`${NAME} version `, "").replaceAll("\n", "\n   ")}

COMMANDS:
${columns([...rows, ["help, h", "show this text, or that of a command"]])}
GLOBAL OPTIONS:
${flagLines(flags)}`;
}
