// test-deadline: 600 s
// The stock docker CLI and plain requests against our daemon, held against what a real dockerd
// answered (test/compare/recorded, docs/internals/compare.md). What differs and is not listed with
// a reason is a fault, and so is a reason that nothing needs any more.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { type Difference, differences, judge } from "../compare/differ.ts";
import { differencesPage, PAGE } from "../compare/document.ts";
import { readList, readRecorded, readVersions } from "../compare/records.ts";
import { runScript, tidy } from "../compare/run-script.ts";
import { readScripts, type Script } from "../compare/script.ts";
import { findClient, startOurs } from "../compare/subjects.ts";
import { whyNoDaemon } from "./harness.ts";

const LANES = 2;
const versions = await readVersions();
const client = findClient(versions.client);
const noClient =
  client === undefined && `needs a docker CLI ${versions.client}, as recorded; .ci/run unpacks one`;

describe("answers as dockerd gives them", { skip: whyNoDaemon() || noClient }, () => {
  test("every invocation that is recorded", { timeout: 590_000 }, async () => {
    const queue = await readScripts();
    const found: Difference[] = [];
    const ran = new Set<string>();
    let invocations = 0;
    const lane = async () => {
      const { subject, stop } = await startOurs(client);
      try {
        for (let script = queue.shift(); script; script = queue.shift()) {
          const ours = await runScript(subject, script);
          found.push(...differences(script.name, await recordedAnswers(script), ours));
          await tidy(subject);
          ran.add(script.name);
          invocations += ours.length;
        }
      } finally {
        queue.length = 0; // no lane goes on once one has failed
        await stop();
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const { unlisted, needless } = judge(found, await readList(), ran);
    const faults = unlisted.map(
      ({ script, step, at, docker, ours }) =>
        `${script}: ${step}\n  ${at}\n    docker ${JSON.stringify(docker)}\n    ours   ${JSON.stringify(ours)}`,
    );
    assert.equal(faults.join("\n"), "");
    assert.deepEqual(needless, []);
    assert.ok(invocations > 500, `${invocations} invocations`);
  });

  async function recordedAnswers({ file, name }: Script) {
    return (await readRecorded(file))[name] ?? [];
  }
});

test("the page about differences says what the list says", async () => {
  assert.equal(await readFile(PAGE, "utf8"), await differencesPage());
});
