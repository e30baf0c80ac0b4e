// Writes docs/reference/refused.md from docs/reference/refused.tsv: what of Docker is refused and
// why, one line a reason. With --check it only compares.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readRefusals } from "./coverage/rows.ts";

const file = join(import.meta.dirname, "../docs/reference/refused.md");
const INTRODUCTION = `# What of Docker is refused, and why

<!-- Written by tools/gen-refused.ts from refused.tsv: do not edit. -->

Everything else of Docker's API and command line and of the OCI runtime is there: \`npm run coverage:api\`,
\`coverage:cli\` and \`coverage:oci\` count it
([how](../internals/coverage.md)). \`*\` stands for any text. Fields that only Windows, macOS or a swarm have are
here too, though Docker on Linux without a swarm does not have them either.
`;

function section(title: string, isMine: (pattern: string) => boolean): string {
  const byReason = new Map<string, string[]>();
  for (const { pattern, reason } of readRefusals()) {
    if (isMine(pattern)) byReason.set(reason, [...(byReason.get(reason) ?? []), pattern]);
  }
  const rows = [...byReason]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, patterns]) => `| ${reason} | ${cells(patterns)} |`);
  if (rows.length === 0) return "";
  return `## ${title}\n\n| why | what |\n| --- | --- |\n${rows.join("\n")}\n`;
}

/** "GET /info answer A", "GET /info answer B" are written as "GET /info answer A, B". */
function cells(patterns: readonly string[]): string {
  const byStart = new Map<string, string[]>();
  for (const pattern of patterns) {
    const space = pattern.lastIndexOf(" ");
    const start = pattern.slice(0, space);
    byStart.set(start, [...(byStart.get(start) ?? []), pattern.slice(space + 1)]);
  }
  const lines = [...byStart].map(([start, ends]) => `\`${start} ${ends.join(", ")}\``);
  return lines.join("<br>").replaceAll("|", "\\|");
}

const isCommand = (pattern: string) => pattern.startsWith("docker ");
const isRuntime = (pattern: string) => pattern.startsWith("oci ");
const text = [
  INTRODUCTION,
  section("The command line", isCommand),
  section("The API", (pattern) => !isCommand(pattern) && !isRuntime(pattern)),
  section("The OCI runtime", isRuntime),
]
  .filter((part) => part !== "")
  .join("\n");
if (process.argv.includes("--check")) {
  process.exit(readFileSync(file, "utf8") === text ? 0 : 1);
}
writeFileSync(file, text);
