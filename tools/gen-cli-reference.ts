// Writes docs/reference/cli/*.md, one page a group, from the command tables: usage, other
// spellings, examples and flags of every command, as its help has them. With --check it only
// compares.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "../src/cli/command.ts";
import {
  type CommandEntry,
  type CommandGroup,
  GROUPS,
  ROOT_COMMANDS,
} from "../src/cli/commands/table.ts";
import { canonicalPath } from "../src/cli/complete/locate.ts";
import { EXAMPLES } from "../src/cli/examples/index.ts";
import { GLOBAL_FLAGS } from "../src/cli/global-flags.ts";
import { flagUsages } from "../src/cli/help.ts";

const folder = join(import.meta.dirname, "../docs/reference/cli");
const NOTE = "<!-- Written by tools/gen-cli-reference.ts from the command tables: do not edit. -->";
/** Wide enough that no text is wrapped. */
const COLUMNS = 100;

const pages = new Map<string, string>();

function codeBlock(text: string, language = ""): string {
  return `\`\`\`${language}\n${text.replace(/\n+$/, "")}\n\`\`\`\n`;
}

function commandText(path: string, command: Command): string {
  const usage = `gantry ${path}${command.usage === "" ? "" : ` ${command.usage}`}`;
  const parts = [`## gantry ${path}\n`, `${command.long ?? command.short}\n`, codeBlock(usage)];
  const spellings = (command.spellings ?? []).filter((one) => one !== path);
  if (spellings.length > 0) {
    parts.push(`Also: ${spellings.map((one) => `\`gantry ${one}\``).join(", ")}\n`);
  }
  const examples = command.examples?.split("\n").map((line) => line.trim()) ?? EXAMPLES[path] ?? [];
  if (examples.length > 0) parts.push(codeBlock(examples.join("\n"), "sh"));
  const flags = flagUsages(command.flags, COLUMNS);
  if (flags !== "") parts.push(codeBlock(flags));
  return parts.join("\n");
}

async function groupText(name: string, group: CommandGroup): Promise<string> {
  const parts: string[] = [];
  for (const [verb, entry] of sorted(group.commands)) {
    const path = canonicalPath(entry) ?? `${name} ${verb}`;
    // What another page has is not told twice.
    if (path.split(" ")[0] !== name.split(" ")[0]) continue;
    parts.push(commandText(path, (await entry.load()) as Command));
  }
  for (const [verb, inner] of sorted(group.groups ?? {})) {
    parts.push(await groupText(`${name} ${verb}`, inner));
  }
  return parts.join("\n");
}

function sorted<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

function isOwn(entry: CommandEntry): boolean {
  return !canonicalPath(entry)?.includes(" ");
}

for (const [name, group] of sorted(GROUPS)) {
  if (name === "buildx") continue; // another name of builder
  const title = `# gantry ${name}\n\n${NOTE}\n\n${group.short}.\n`;
  pages.set(`${name}.md`, `${title}\n${await groupText(name, group)}`);
}
const roots: string[] = [];
for (const [name, entry] of sorted(ROOT_COMMANDS)) {
  if (isOwn(entry)) roots.push(commandText(name, (await entry.load()) as Command));
}
const shortForms = sorted(ROOT_COMMANDS)
  .filter(([, entry]) => !isOwn(entry))
  .map(([name, entry]) => `| \`gantry ${name}\` | \`gantry ${canonicalPath(entry)}\` |`);
const links = [...pages.keys()].map((page) => `- [gantry ${page.slice(0, -3)}](${page})`);
pages.set(
  "README.md",
  [
    `# The command line\n\n${NOTE}\n`,
    `How it is used: [the guide](../../guide/cli.md).\n\n${links.join("\n")}\n`,
    `## Flags before the command\n\n${codeBlock(flagUsages(GLOBAL_FLAGS, COLUMNS))}`,
    `## Short forms\n\n| | is |\n| --- | --- |\n${shortForms.join("\n")}\n`,
    ...roots,
  ].join("\n"),
);

if (process.argv.includes("--check")) {
  const there = readdirSync(folder).sort();
  const wanted = [...pages.keys()].sort();
  const differ = wanted.filter(
    (page) => !there.includes(page) || readFileSync(join(folder, page), "utf8") !== pages.get(page),
  );
  const stray = there.filter((page) => !wanted.includes(page));
  for (const page of [...differ, ...stray])
    console.log(`docs/reference/cli/${page} is out of date`);
  process.exit(differ.length + stray.length === 0 ? 0 : 1);
}
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const [page, text] of pages) writeFileSync(join(folder, page), text);
