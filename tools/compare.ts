// npm run compare: what our daemon answers, and what a real dockerd does, to the same stock client.
//
//   tools/compare.ts [--only TEXT] [--values]     ours against what is recorded
//   tools/compare.ts --record --peer FOLDER       asks dockerd (unpacked beneath FOLDER) anew
//   tools/compare.ts --docs                       writes docs/reference/differences.md
//
// docs/internals/compare.md says how scripts are written and when to record.

import { parseArgs } from "node:util";
import { differences, judge } from "../test/compare/differ.ts";
import { writeDifferences } from "../test/compare/document.ts";
import {
  readList,
  readRecorded,
  readVersions,
  writeRecorded,
  writeVersions,
} from "../test/compare/records.ts";
import { runScript, tidy } from "../test/compare/run-script.ts";
import { readScripts, type Script } from "../test/compare/script.ts";
import { clientVersion, findClient, startDockerd, startOurs } from "../test/compare/subjects.ts";
import { dockerCli } from "../test/support/docker-plugins.ts";

const { values } = parseArgs({
  options: {
    record: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
    values: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    peer: { type: "string" },
  },
});
const chosen = (await readScripts()).filter(
  ({ name }) => values.only.length === 0 || values.only.some((part) => name.includes(part)),
);
if (values.docs) await writeDifferences();
else if (values.record) await record(chosen);
else await compare(chosen);

async function record(scripts: Script[]): Promise<void> {
  if (!values.peer) throw new Error("--peer FOLDER says where dockerd is unpacked");
  const client = dockerCli();
  const { subject, stop } = await startDockerd(values.peer, client);
  try {
    const daemon = await subject.docker.version();
    const info = await subject.docker.info();
    await writeVersions({
      client: clientVersion(client) ?? "unknown",
      daemon: daemon.Version,
      api: daemon.ApiVersion,
      driver: info.Driver,
    });
    for (const file of new Set(scripts.map((script) => script.file))) {
      const recorded = await readRecorded(file);
      const known = (await readScripts()).filter((script) => script.file === file);
      for (const script of scripts.filter((one) => one.file === file)) {
        const started = Date.now();
        try {
          recorded[script.name] = await runScript(subject, script);
        } catch (error) {
          console.error(error);
        }
        await tidy(subject);
        console.log(`${script.name}: ${script.steps.length} steps, ${Date.now() - started} ms`);
      }
      const kept = known.map(({ name }) => [name, recorded[name] ?? []]);
      await writeRecorded(file, Object.fromEntries(kept));
    }
  } finally {
    await stop();
  }
}

async function compare(scripts: Script[]): Promise<void> {
  const { client } = await readVersions();
  const { subject, stop } = await startOurs(findClient(client));
  const ran = new Set<string>();
  let steps = 0;
  const found = [];
  try {
    for (const script of scripts) {
      const docker = (await readRecorded(script.file))[script.name] ?? [];
      const started = Date.now();
      const ours = await runScript(subject, script).catch((error) => {
        console.error(error);
        return [];
      });
      await tidy(subject);
      const spent = Date.now() - started;
      if (spent > 5000) console.log(`(${script.name} took ${spent} ms)`);
      ran.add(script.name);
      steps += ours.length;
      found.push(...differences(script.name, docker, ours));
    }
  } finally {
    await stop();
  }
  const { unlisted, needless } = judge(found, await readList(), ran);
  for (const { script, step, at, docker, ours } of values.all ? found : unlisted) {
    console.log(`${script}: ${step}\n  ${at}`);
    console.log(`    docker: ${JSON.stringify(docker)}\n    ours:   ${JSON.stringify(ours)}`);
  }
  for (const row of needless) console.log(`needless: ${JSON.stringify(row)}`);
  console.log(`${steps} invocations, ${found.length} differences, ${unlisted.length} not listed`);
  process.exitCode = unlisted.length + needless.length > 0 ? 1 : 0;
}
