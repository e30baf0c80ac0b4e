// Takes a written command line (an example of the help, a line of a page) apart as a shell and our
// command table would, without running it: what docs show is then known to be understood.

import assert from "node:assert/strict";
import { messageOf, parseFlags } from "../../src/base/index.ts";
import type { Command } from "../../src/cli/command.ts";
import {
  type CommandEntry,
  type CommandGroup,
  GROUPS,
  ROOT_COMMANDS,
} from "../../src/cli/commands/table.ts";
import { GLOBAL_FLAGS } from "../../src/cli/global-flags.ts";

/** The words behind `gantry` in the part of a shell's line that calls it; none where none does. */
export function wordsOf(text: string): string[] {
  const line = text.replace(/\$\([^)]*\)/g, "x");
  const call = /(?:^|[|(]\s*)gantry (.*)$/.exec(line)?.[1] ?? "";
  const words = call.match(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+|[|>)]/g) ?? [];
  const end = words.findIndex((word) => /^[|<>)]$/.test(word));
  const own = end < 0 ? words : words.slice(0, end);
  return own.map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, "$1$2").replace(/\)$/, ""));
}

/** The command that the first words name, and the words behind its name. */
export function findCommand(
  words: readonly string[],
): { entry: CommandEntry; rest: string[] } | undefined {
  let at: Omit<CommandGroup, "short"> = { commands: ROOT_COMMANDS, groups: GROUPS, aliases: {} };
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    const name = at.aliases[word] ?? word;
    const entry = at.commands[name];
    const group = at.groups?.[name];
    // A group with the name of a command is meant where one of its own commands follows.
    const isGroup = group !== undefined && (words[index + 1] ?? "") in group.commands;
    if (entry && !isGroup) return { entry, rest: words.slice(index + 1) };
    if (!group) return undefined;
    at = group;
  }
  return undefined;
}

/** Whether the words are the name of a group of commands, such as `buildx imagetools`. */
export function namesGroup(words: readonly string[]): boolean {
  let at: Omit<CommandGroup, "short"> | undefined = {
    commands: ROOT_COMMANDS,
    groups: GROUPS,
    aliases: {},
  };
  for (const word of words) at = at?.groups?.[at.aliases[word] ?? word];
  return at !== undefined;
}

/**
 * Asserts that a command exists and takes these flags and this number of arguments; returns it.
 * `cut` says that the line was shortened where it says nothing of arguments.
 */
export async function assertUnderstood(
  line: string,
  words: readonly string[],
  { cut = false }: { cut?: boolean } = {},
): Promise<CommandEntry> {
  const { args: own } = parseFlags(GLOBAL_FLAGS, words, { interspersed: false });
  const found = findCommand(own);
  assert.ok(found, `${line}: no such command`);
  const command = (await found.entry.load()) as Command;
  let args: string[] = [];
  try {
    const interspersed = !command.stopAtArgument;
    args = parseFlags(command.flags, found.rest, { interspersed }).args;
  } catch (error) {
    // "`update --on-unhealthy` changes it": the flag is named, its value is not.
    if (!cut || !messageOf(error).includes("needs an argument")) {
      assert.fail(`${line}: ${messageOf(error)}`);
    }
  }
  const { min, max = Infinity } = command.args;
  assert.ok(cut || (args.length >= min && args.length <= max), `${line}: ${args.length} arguments`);
  return found.entry;
}
