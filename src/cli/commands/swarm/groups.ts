// The table of swarm's commands as groups of the command table. A verb's flags are made when it is
// called.

import type { CommandGroup } from "../table.ts";
import { SWARM_COMMANDS, SWARM_GROUPS } from "./table.ts";

/** A line of the table and the flags that follow it. */
export interface SwarmRow {
  path: string;
  usage: string;
  args: { min: number; max?: number };
  aliases: readonly string[];
  short: string;
  flags: readonly string[];
}

function readTable(text: string): SwarmRow[] {
  const rows: SwarmRow[] = [];
  for (const line of text.trim().split("\n")) {
    if (line.startsWith(" ")) {
      const row = rows.at(-1)!;
      rows[rows.length - 1] = { ...row, flags: [...row.flags, ...line.trim().split(" ")] };
      continue;
    }
    const [path = "", usage = "", count = "", aliases = "", short = ""] = line.split(";");
    const [min = "", max = count.includes("-") ? undefined : min] = count.split("-");
    const args = { min: Number(min), ...(max ? { max: Number(max) } : {}) };
    const others = aliases === "" ? [] : aliases.split(",");
    rows.push({ path, usage, args, aliases: others, short, flags: [] });
  }
  return rows;
}

/** The groups config, node, secret, service, stack and swarm. */
export function swarmGroups(): Record<string, CommandGroup> {
  const groups: Record<string, CommandGroup> = {};
  for (const [name, short] of Object.entries(SWARM_GROUPS)) {
    groups[name] = { short, commands: {}, aliases: {} };
  }
  for (const row of readTable(SWARM_COMMANDS)) {
    const [group = "", verb = ""] = row.path.split(" ");
    const { commands, aliases } = groups[group]!;
    const load = async () => (await import("./command.ts")).swarmCommand(row);
    commands[verb] = { short: row.short, load };
    for (const alias of row.aliases) aliases[alias] = verb;
  }
  return groups;
}
