// docs/reference/differences.md, from the list of differences: for people who ask in what we differ
// from Docker. A test holds the page against the list.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readList, readVersions } from "./records.ts";

export const PAGE = fileURLToPath(new URL("../../docs/reference/differences.md", import.meta.url));

export async function writeDifferences(): Promise<void> {
  await writeFile(PAGE, await differencesPage());
}

export async function differencesPage(): Promise<string> {
  const { client, daemon } = await readVersions();
  const reasons = Map.groupBy(await readList(), ({ why }) => why);
  const sections = [...reasons].map(([why, rows]) => {
    const places = rows.map(({ script, step, at, ours }) => {
      const shown = ours === undefined ? "" : `: ours is ${code(JSON.stringify(ours))}`;
      return `- ${code(step === "*" ? script : step)}, ${code(at)}${shown}`;
    });
    return `## ${why}\n\n${places.join("\n")}\n`;
  });
  return `# Where our answers differ from Docker's

Written by \`npm run compare -- --docs\` from \`test/compare/differences.json\`; do not edit. The stock
docker CLI ${client} and plain requests of the API are asked of dockerd ${daemon} and of us
(docs/internals/compare.md), and everything that differs stands here; \`*\` is any text.

${sections.join("\n")}`;
}

function code(text: string): string {
  const short = text.length > 160 ? `${text.slice(0, 160)}…` : text;
  return short.includes("`") ? `\`\` ${short} \`\`` : `\`${short}\``;
}
