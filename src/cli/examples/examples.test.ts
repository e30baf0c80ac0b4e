import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "../../base/index.ts";
import type { Command } from "../command.ts";
import { type CommandEntry, type CommandGroup, GROUPS, ROOT_COMMANDS } from "../commands/table.ts";
import { canonicalPath } from "../complete/locate.ts";
import { EXAMPLES } from "./index.ts";

/** Of a swarm and of managed plugins there is nothing to show. */
const WITHOUT = /^(plugin|swarm|node|service|stack|secret|config)\b/;

/** The words of the part of a line that calls gantry, as a shell takes them apart. */
function wordsOf(text: string): string[] {
  const line = text.replace(/\$\([^)]*\)/g, "x");
  const call = /(?:^|[|(]\s*)gantry (.*)$/.exec(line)?.[1] ?? "";
  const words = call.match(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+|[|>)]/g) ?? [];
  const end = words.findIndex((word) => /^[|<>)]$/.test(word));
  const own = end < 0 ? words : words.slice(0, end);
  return own.map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, "$1$2").replace(/\)$/, ""));
}

function find(words: string[]): { entry: CommandEntry; rest: string[] } | undefined {
  let at: Omit<CommandGroup, "short"> = { commands: ROOT_COMMANDS, groups: GROUPS, aliases: {} };
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    const name = at.aliases[word] ?? word;
    const entry = at.commands[name];
    if (entry) return { entry, rest: words.slice(index + 1) };
    const group = at.groups?.[name];
    if (!group) return undefined;
    at = group;
  }
  return undefined;
}

test("every example is a command line that is understood", async () => {
  for (const [path, lines] of Object.entries(EXAMPLES)) {
    for (const line of lines) {
      const found = find(wordsOf(line));
      if (!found && path.startsWith("checkpoint")) continue; // in no table yet
      assert.ok(found, `${line}: no such command`);
      assert.equal(canonicalPath(found.entry), path, line);
      const command = (await found.entry.load()) as Command;
      const interspersed = !command.stopAtArgument;
      let args: string[] = [];
      assert.doesNotThrow(() => {
        args = parseFlags(command.flags, found.rest, { interspersed }).args;
      }, line);
      const { min, max = Infinity } = command.args;
      assert.ok(args.length >= min && args.length <= max, `${line}: ${args.length} arguments`);
    }
  }
});

test("every command has an example", async () => {
  const lacking: string[] = [];
  const look = async (at: Omit<CommandGroup, "short">) => {
    for (const entry of Object.values(at.commands)) {
      const path = canonicalPath(entry)!;
      if (EXAMPLES[path] || WITHOUT.test(path)) continue;
      if (!((await entry.load()) as Command).examples) lacking.push(path);
    }
    for (const group of Object.values(at.groups ?? {})) await look(group);
  };
  await look({ commands: ROOT_COMMANDS, groups: GROUPS, aliases: {} });
  assert.deepEqual([...new Set(lacking)], []);
});
