// The corpus of Dockerfiles: what each makes here is what stock BuildKit made of it
// (expected.json), but for the differences that are known and explained (differences.json and
// docs/reference/dockerfile.md). Both are written by test/corpus/compare-peer.ts.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { after, before, describe, test } from "node:test";
import { BASE, BASE_CHANGES, baseRootfs } from "../corpus/base.ts";
import {
  buildCase,
  checkCase,
  differences,
  needsSession,
  type Outcome,
  order,
} from "../corpus/build-case.ts";
import { corpus } from "../corpus/corpus.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const data = async <T>(name: string): Promise<Record<string, T>> =>
  JSON.parse(await readFile(new URL(`../corpus/${name}`, import.meta.url), "utf8"));
const AT_ONCE = Math.max(2, availableParallelism());

test("the corpus: every case has a name of its own and an expectation", async () => {
  const expected = await data<Outcome>("expected.json");
  const names = corpus.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(
    names.filter((name) => expected[name] === undefined),
    [],
  );
  assert.ok(names.length >= 200);
});

describe("the corpus, checked and built", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  const found = new Map<string, string[] | Error>();
  before(async () => {
    daemon = await startDaemon({ bare: true });
    const changes = BASE_CHANGES.flatMap((change) => ["-c", change]);
    const input = await baseRootfs();
    const { code, stderr } = await daemon.client(["import", ...changes, "-", BASE], { input });
    assert.equal(code, 0, stderr);
    const expected = await data<Outcome>("expected.json");
    const cases = corpus.filter((c) => !needsSession(c));
    await order(cases, AT_ONCE, async (c) => {
      try {
        const outcome: Outcome = {};
        if (c.check !== "skip" && !c.after) outcome.check = checkCase(c);
        if (c.check !== "only") Object.assign(outcome, await buildCase(daemon.dockerode, c));
        found.set(c.name, differences(c, outcome, expected[c.name]!));
      } catch (error) {
        found.set(c.name, error as Error);
      }
    });
  });
  after(() => daemon.stop());

  for (const kind of new Set(corpus.map(({ name }) => name.split("-")[0]!))) {
    test(`${kind}: images, history, files and checks as stock has them`, async () => {
      const known = await data<string[]>("differences.json");
      const own = [...found].filter(([name]) => name.startsWith(`${kind}-`));
      assert.ok(own.length > 0);
      for (const [name, differs] of own) {
        if (differs instanceof Error) throw new Error(name, { cause: differs });
        assert.deepEqual(differs, known[name] ?? [], name);
      }
    });
  }
});
