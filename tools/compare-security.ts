// npm run compare:security: what a container may do and see, ours beside a real dockerd's.
//
//   tools/compare-security.ts                        ours against the record; 1 for a weaker row
//   tools/compare-security.ts --record --peer FOLDER asks dockerd (unpacked beneath FOLDER) anew
//   tools/compare-security.ts --docs                 also writes docs/security/comparison.md
//
// docs/internals/security.md says what is asked and how it is judged.

import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startDockerd, startOurs, systemRunc } from "../test/compare/subjects.ts";
import { writeComparison } from "../test/security/comparison-page.ts";
import { judge } from "../test/security/judge.ts";
import {
  importProbe,
  type OciConfiguration,
  probe,
  profileRows,
  type Rows,
} from "../test/security/probe.ts";
import { readRecorded, writeRecorded } from "../test/security/records.ts";
import { OURS_ONLY, VARIANTS } from "../test/security/variants.ts";

/** Keeps the configuration of each container that it is asked to make. */
const KEEPING_RUNC = `#!/bin/sh
for word in "$@"; do
  [ "$last" = --bundle ] && cp "$word/config.json" "FOLDER/config.json"
  last=$word
done
exec RUNC "$@"
`;

const { values } = parseArgs({
  options: {
    record: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
    peer: { type: "string" },
  },
});
if (values.record) await record();
else await compare();

async function record(): Promise<void> {
  if (!values.peer) throw new Error("--peer FOLDER says where dockerd is unpacked");
  const kept = await mkdtemp(join(tmpdir(), "gantry-record-"));
  const program = join(kept, "runc");
  const text = KEEPING_RUNC.replace("FOLDER", kept).replace("RUNC", systemRunc());
  await writeFile(program, text);
  await chmod(program, 0o755);
  const { subject, pid, stop } = await startDockerd(values.peer, undefined, program);
  const variants: Record<string, Rows> = {};
  try {
    const { docker } = subject;
    const version = await docker.version();
    const runc = version.Components?.find(({ Name }) => Name === "runc")?.Version ?? "unknown";
    await importProbe(docker);
    for (const variant of VARIANTS) {
      const rows = await probe({ docker, hostPid: pid }, variant);
      const config = await readFile(join(kept, "config.json"), "utf8");
      const profile = profileRows(JSON.parse(config) as OciConfiguration);
      variants[variant.name] = { ...rows, profile };
      console.log(variant.name);
    }
    const { Version, KernelVersion = "unknown" } = version;
    await writeRecorded({ version: Version, runc, kernel: KernelVersion, variants });
  } finally {
    await stop();
    await rm(kept, { recursive: true });
  }
}

async function compare(): Promise<void> {
  const recorded = await readRecorded();
  const { subject, pid, stop } = await startOurs(undefined);
  const ours: Record<string, Rows> = {};
  try {
    await importProbe(subject.docker);
    for (const variant of [...VARIANTS, ...OURS_ONLY]) {
      ours[variant.name] = await probe({ docker: subject.docker, hostPid: pid }, variant);
    }
  } finally {
    await stop();
  }
  let weaker = 0;
  for (const { name, against } of [...VARIANTS, ...OURS_ONLY]) {
    const rows = judge(recorded.variants[against ?? name] ?? {}, ours[name]!);
    const different = rows.filter(({ verdict }) => verdict !== "same");
    weaker += different.filter(({ verdict }) => verdict === "weaker").length;
    console.log(`${name}: ${rows.length} rows, ${different.length} different`);
    for (const row of different) {
      console.log(`  ${row.verdict}: ${row.group} ${row.key}: ${row.docker} | ${row.ours}`);
    }
  }
  if (values.docs) await writeComparison(recorded, ours);
  console.log(`${weaker} weaker rows`);
  process.exitCode = weaker > 0 ? 1 : 0;
}
