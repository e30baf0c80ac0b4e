// docs/security/comparison.md: the rows of both engines side by side, for people who decide.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { capabilityNames } from "../../src/runtime/index.ts";
import { type Judged, judge, type Verdict } from "./judge.ts";
import { type Rows, syscallNames } from "./probe.ts";
import type { Recorded } from "./records.ts";
import { OURS_ONLY, VARIANTS } from "./variants.ts";

export const PAGE = fileURLToPath(new URL("../../docs/security/comparison.md", import.meta.url));

/** Shown row by row for the default container; calls are listed by name. */
const SHOWN = ["namespace", "capabilities", "process", "keyring", "unshare", "personality"];
const SHOWN_TOO = ["i386", "x32", "reads", "mount", "device", "dev", "bench"];
const FAMILIES: Record<string, string> = {
  "33": "AF_RXRPC",
  "38": "AF_ALG",
  "40": "AF_VSOCK",
};

export async function writeComparison(recorded: Recorded, ours: Record<string, Rows>) {
  await writeFile(PAGE, comparisonPage(recorded, ours));
}

function comparisonPage(recorded: Recorded, ours: Record<string, Rows>): string {
  const judged = new Map<string, Judged[]>();
  for (const { name, against } of [...VARIANTS, ...OURS_ONLY]) {
    judged.set(name, judge(recorded.variants[against ?? name] ?? {}, ours[name] ?? {}));
  }
  const standard = judged.get("default") ?? [];
  const weaker = [...judged.values()].flat().filter(({ verdict }) => verdict === "weaker");
  return `# Docker's container and ours, side by side

Written by \`npm run compare:security -- --docs\`; do not edit. A probe (\`test/security/programs/probe*.c\`, in
the manner of amicontained) runs in containers of dockerd ${recorded.version} with runc
${recorded.runc} and in ours, on Linux ${recorded.kernel}, together with the questions of
docker-bench-security's section 5 that concern one container. Every system call number is called with arguments
that it refuses; \`EPERM\`, \`ENOSYS\` and \`SIGSYS\` mean that it does not get through. How rows are judged stands in
\`test/security/judge.ts\`. **${weaker.length} rows are weaker.** \`test/security/comparison.test.ts\` holds every
run of the tests against the recorded side.

## By kind of container

| container | rows | same | stricter | weaker | not judged |
| --- | ---: | ---: | ---: | ---: | ---: |
${[...judged].map(([name, rows]) => summary(name, rows)).join("\n")}

## Where ours differs

${differences(judged)}

## The default container

${[...SHOWN, ...SHOWN_TOO].map((group) => section(group, standard)).join("\n")}
### system calls

${calls(standard)}

### address families of sockets that are closed

Docker: ${families(standard, "docker")}. Ours: ${families(standard, "ours")}.
`;
}

function summary(name: string, rows: readonly Judged[]): string {
  const count = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict).length;
  const counts = (["same", "stricter", "weaker", "not judged"] as const).map(count);
  return `| \`${name}\` | ${[rows.length, ...counts].join(" | ")} |`;
}

function differences(judged: ReadonlyMap<string, readonly Judged[]>): string {
  const places = new Map<string, string[]>();
  for (const [name, rows] of judged) {
    for (const { group, key, docker, ours, verdict } of rows) {
      if (verdict === "same" || key === "pid") continue;
      const line = `${verdict} | ${group} \`${label(group, key)}\` | ${cell(docker)} | ${cell(ours)}`;
      places.set(line, [...(places.get(line) ?? []), name]);
    }
  }
  const lines = [...places].map(([line, names]) => {
    const where = names.length > 3 ? `${names.length} kinds` : names.map(code).join(", ");
    return `| ${line} | ${where} |`;
  });
  return `| verdict | row | Docker | ours | in |\n| --- | --- | --- | --- | --- |\n${lines.join("\n")}`;
}

function section(group: string, rows: readonly Judged[]): string {
  const own = rows.filter((row) => row.group === group);
  const lines = own.map(
    ({ key, docker, ours }) =>
      `| ${label(group, key)} | ${cell(value(group, docker))} | ${cell(value(group, ours))} |`,
  );
  const title = group === "bench" ? "docker-bench-security, section 5" : group;
  return `### ${title}\n\n| row | Docker | ours |\n| --- | --- | --- |\n${lines.join("\n")}\n`;
}

function value(group: string, text: string): string {
  if (group !== "capabilities" || !/^[0-9a-f]{16}$/.test(text)) return text;
  const mask = BigInt(`0x${text}`);
  const names = capabilityNames.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
  return names.map((name) => name.replace("CAP_", "").toLowerCase()).join(" ") || "none";
}

function calls(rows: readonly Judged[]): string {
  const closed = (text: string) => ["EPERM", "ENOSYS", "SIGSYS"].includes(text);
  const known = rows.filter(({ group, key }) => group === "call" && syscallNames.has(Number(key)));
  const names = (list: Judged[]) => list.map(({ key }) => label("call", key)).join(" ") || "none";
  const both = known.filter(({ docker, ours }) => closed(docker) && closed(ours));
  const onlyOurs = known.filter(({ docker, ours }) => !closed(docker) && closed(ours));
  const onlyDocker = known.filter(({ docker, ours }) => closed(docker) && !closed(ours));
  return `Closed in both: ${names(both)}.

Closed in ours only: ${names(onlyOurs)}.

Closed in Docker's only: ${names(onlyDocker)} (Docker's profile allows these; the libseccomp of the recorded
runc is too old to know them).`;
}

function families(rows: readonly Judged[], side: "docker" | "ours"): string {
  const closed = rows.filter((row) => row.group === "socket" && row[side] === "EPERM");
  return closed.map(({ key }) => FAMILIES[key] ?? key).join(", ") || "none";
}

const label = (group: string, key: string): string => {
  if (group === "call") return syscallNames.get(Number(key)) ?? key;
  return group === "socket" ? (FAMILIES[key] ?? key) : key;
};
const cell = (text: string): string => text.replaceAll("|", "\\|");
const code = (text: string): string => `\`${text}\``;
