import assert from "node:assert/strict";
import { test } from "node:test";
import { assertUnderstood, wordsOf } from "../../../test/support/command-line.ts";
import type { Command } from "../command.ts";
import { type CommandGroup, GROUPS, ROOT_COMMANDS } from "../commands/table.ts";
import { canonicalPath } from "../complete/locate.ts";
import { EXAMPLES } from "./index.ts";

/** Of a swarm and of managed plugins there is nothing to show. */
const WITHOUT = /^(plugin|swarm|node|service|stack|secret|config)\b/;

test("every example is a command line that is understood", async () => {
  for (const [path, lines] of Object.entries(EXAMPLES)) {
    for (const line of lines) {
      const entry = await assertUnderstood(line, wordsOf(line));
      assert.equal(canonicalPath(entry), path, line);
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
