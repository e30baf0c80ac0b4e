// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
// The corpus cut up: Dockerfiles that people might write, with words, lines and characters lost,
// doubled, swapped and put in. Whatever comes of it, the language ends in a plan or in an error
// that says where; the checks never throw; and what was read, written down again, reads the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GantryError } from "../../src/base/index.ts";
import {
  type EvaluatedStage,
  evaluateStage,
  type Instruction,
  lintDockerfile,
  parseDockerfile,
  placeOf,
  planBuild,
} from "../../src/build/index.ts";
import { corpus } from "../corpus/corpus.ts";

const buildPlatform = { os: "linux", architecture: "amd64" };
const RUNS = 1500;
const PIECES = [
  ..."\\ ` $ { } ' \" # < << <<- EOF = : / , - -- [ ] ( ) * ? ! \t \r \0 \ufeff é 🚀 %% ## :- :? ..".split(
    " ",
  ),
  ...[
    "\n",
    " ",
    "\\\n",
    "$A",
    "${A",
    "${A:-",
    "<<A <<B",
    "--from=",
    "--mount=type=",
    "FROM x AS y",
  ],
  ...[
    "ONBUILD ",
    "RUN <<E\n",
    "# escape=`\n",
    "# syntax=x\n",
    "COPY --from=0 a b\n",
    "ARG A=${A}${A}\n",
  ],
];

type Change = { kind: "cut" | "double" | "put" | "swap"; at: number; length: number; text: string };

function changed(text: string, changes: readonly Change[]): string {
  let now = text;
  for (const { kind, at, length, text: piece } of changes) {
    const from = Math.floor(at * (now.length + 1));
    const part = now.slice(from, from + length);
    const before = now.slice(0, from);
    const after = now.slice(from + length);
    if (kind === "cut") now = before + after;
    else if (kind === "double") now = before + part + part + after;
    else if (kind === "put") now = before + piece + part + after;
    else now = after + part + before;
  }
  return now;
}

const change = fc.record({
  kind: fc.constantFrom<Change["kind"]>("cut", "double", "put", "put", "swap"),
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  length: fc.nat({ max: 24 }),
  text: fc.constantFrom(...PIECES),
});
const weird = fc
  .tuple(
    fc.constantFrom(...corpus.map(({ dockerfile }) => dockerfile)),
    fc.constantFrom(...corpus.map(({ dockerfile }) => dockerfile)),
    fc.array(change, { minLength: 1, maxLength: 6 }),
    fc.boolean(),
  )
  .map(([a, b, changes, both]) => changed(both ? a + b : a, changes));

/** Reads, plans and evaluates what the target needs. */
function whole(text: string): void {
  const plan = planBuild(parseDockerfile(text), { buildPlatform, buildArgs: { A: "a" } });
  const done = new Map<number, EvaluatedStage>();
  for (const index of plan.needed) {
    const { base } = plan.stages[index]!;
    const stage = base.kind === "stage" ? done.get(base.index)! : undefined;
    const from = stage ? ({ kind: "stage", stage } as const) : ({ kind: "scratch" } as const);
    done.set(index, evaluateStage(plan, index, from));
  }
}

test("a weird file is understood or refused with its place", () => {
  fc.assert(
    fc.property(weird, (text) => {
      try {
        whole(text);
      } catch (error) {
        assert(error instanceof GantryError && error.kind === "invalid", String(error));
        const isWhole = /NUL byte|UTF-16/.test(error.message);
        assert(isWhole || placeOf(error) !== undefined, error.message);
      }
    }),
    { numRuns: RUNS },
  );
});

test("the checks say something of every file", () => {
  fc.assert(
    fc.property(weird, (text) => {
      if (text.includes("\0")) return;
      const { findings, source } = lintDockerfile(text, { buildPlatform });
      for (const { range } of findings) {
        assert(range.start.line >= 1 && range.end.line <= source.lines.length);
      }
    }),
    { numRuns: RUNS },
  );
});

test("what was read and is written down reads the same", () => {
  fc.assert(
    fc.property(weird, (text) => {
      let once: Written;
      try {
        once = written(text);
      } catch {
        return; // no Dockerfile
      }
      assert.deepEqual(written(once.text), once);
    }),
    { numRuns: RUNS },
  );
});

interface Written {
  text: string;
  kinds: string[];
}

function written(text: string): Written {
  const file = parseDockerfile(text);
  const all: Instruction[] = [
    ...file.globalArgs,
    ...file.stages.flatMap(({ from, instructions }) => [from, ...instructions]),
  ];
  const { lines } = file.source;
  // Here-documents as they stand in the file: everything below the instruction's own lines.
  const own = all.map((instruction) => {
    const { start, end } = instruction.range;
    if (!/<</.test(instruction.original)) return instruction.original;
    return lines.slice(start.line - 1, end.line).join("\n");
  });
  const directive = file.escape === "`" ? ["# escape=`"] : [];
  return {
    text: `${[...directive, ...own].join("\n")}\n`,
    kinds: all.map(({ kind }) => kind),
  };
}
