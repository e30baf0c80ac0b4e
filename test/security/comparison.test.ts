// "Never weaker than Docker's default": the probe runs in every kind of container, and its rows are
// held against those that a real dockerd's containers gave.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { type Started, startOurs } from "../compare/subjects.ts";
import { whyNoDaemon } from "../e2e/harness.ts";
import { PAGE } from "./comparison-page.ts";
import { weaker } from "./judge.ts";
import { importProbe, probe, type Rows } from "./probe.ts";
import { type Recorded, readRecorded } from "./records.ts";
import { OURS_ONLY, VARIANTS } from "./variants.ts";

const told = (docker: Rows, ours: Rows): string[] =>
  weaker(docker, ours).map(
    (row) => `${row.group} ${row.key}: Docker's is ${row.docker}, ours ${row.ours}`,
  );

describe("our containers are never weaker than Docker's", { skip: whyNoDaemon() }, () => {
  let ours: Started;
  let recorded: Recorded;
  before(async () => {
    recorded = await readRecorded();
    ours = await startOurs(undefined);
    await importProbe(ours.subject.docker);
  });
  after(() => ours?.stop());

  for (const variant of [...VARIANTS, ...OURS_ONLY]) {
    test(`no row is weaker in a container of the kind "${variant.name}"`, async () => {
      const docker = recorded.variants[variant.against ?? variant.name];
      assert.ok(docker, "this kind is not recorded");
      const engine = { docker: ours.subject.docker, hostPid: ours.pid };
      const rows = await probe(engine, variant);
      assert.ok(Object.keys(rows["call"] ?? {}).length > 400, "the probe did not come to its end");
      assert.deepEqual(told(docker, rows), []);
    });
  }
});

test("the judge sees what is weaker, in every group that it judges", async () => {
  const { variants } = await readRecorded();
  const open: Rows = {
    ...variants["--privileged"],
    keyring: { session: "ok" },
    i386: { bpf: "EFAULT" },
    "proc write": { "/proc/sys/kernel/core_pattern": "writable" },
    "sys write": { "/": "writable" },
  };
  const standard = variants["default"]!;
  const groups = new Set(weaker(standard, open).map(({ group }) => group));
  const expected = "capabilities process keyring unshare socket call personality i386 reads";
  for (const group of [...expected.split(" "), "proc write", "mount", "device", "dev", "bench"]) {
    assert.ok(groups.has(group), `a weaker ${group} goes unseen`);
  }
  const joined = weaker(standard, variants["--pid host"]!).map(({ key }) => key);
  assert.ok(joined.includes("pid"), "a joined namespace goes unseen");
  assert.deepEqual(weaker(standard, standard), []);
});

test("the page tells of no weaker row", async () => {
  assert.match(await readFile(PAGE, "utf8"), /\*\*0 rows are weaker\.\*\*/);
});
