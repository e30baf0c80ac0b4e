// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
// From bytes to steps and findings with files put together at random: the whole way ends in steps
// or in one error that says where the file is wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GantryError } from "../../base/index.ts";
import { placeOf } from "./dockerfile-error.ts";
import { evaluateStage } from "./evaluate-stage.ts";
import { lintDockerfile } from "./lint.ts";
import { parseDockerfile } from "./parse.ts";
import { planBuild } from "./plan.ts";
import type { EvaluatedStage } from "./steps.ts";

const buildPlatform = { os: "linux", architecture: "amd64" };
const LINES = [
  "FROM a AS x",
  "FROM x",
  "FROM scratch",
  "FROM $A",
  "ARG A=x",
  "ARG B=${A:-$B}",
  "ENV C=${A#*/} D='q'",
  "ENV E ${C/x/y}",
  'ENV C="${A',
  "COPY --from=x a b",
  "COPY --from=0 . /",
  "COPY --chmod=$A a b",
  "COPY <<E /x\n$A\nE",
  "ADD https://h/x.git#v /d",
  "ADD --checksum=$A x /y",
  "RUN --mount=type=$A,target=/x y",
  "RUN --mount=from=x,target=. y",
  "RUN <<E\n#!/bin/sh\nE",
  'RUN ["a"]',
  "WORKDIR $A/..",
  "USER ${A:?m}",
  "EXPOSE $A 80-90",
  "VOLUME /a $A",
  "CMD x",
  "ENTRYPOINT []",
  "ONBUILD COPY --from=x a b",
  "HEALTHCHECK CMD x",
  "STOPSIGNAL $A",
  "LABEL __proto__=x",
  "# check=skip=all",
];

function build(text: string, buildArgs: Record<string, string>): number {
  const plan = planBuild(parseDockerfile(text), { buildPlatform, buildArgs });
  const done = new Map<number, EvaluatedStage>();
  for (const index of plan.needed) {
    const { base } = plan.stages[index]!;
    const stage = base.kind === "stage" ? done.get(base.index)! : undefined;
    const from = stage ? ({ kind: "stage", stage } as const) : ({ kind: "scratch" } as const);
    done.set(index, evaluateStage(plan, index, from));
  }
  return done.size;
}

test("any file ends in steps or in one error with its place, and the checks never throw", () => {
  const lines = fc.array(fc.constantFrom(...LINES), { maxLength: 14 });
  const args = fc.constantFrom<Record<string, string>[]>(
    {},
    { A: "bind" },
    { A: "a/b" },
    { A: "" },
  );
  fc.assert(
    fc.property(lines, args, (chosen, buildArgs) => {
      const text = ["FROM base", ...chosen].join("\n");
      let fails = false;
      try {
        assert(build(text, buildArgs) > 0);
      } catch (error) {
        assert(error instanceof GantryError && error.kind === "invalid", String(error));
        assert(placeOf(error) !== undefined, error.message);
        fails = true;
      }
      const { error } = lintDockerfile(text, { buildPlatform, buildArgs });
      // The checks look at all stages, the build at the needed ones only.
      if (fails) assert(error !== undefined);
    }),
    { numRuns: 400 },
  );
});
