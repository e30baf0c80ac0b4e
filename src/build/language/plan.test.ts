// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf } from "./dockerfile-error.ts";
import { parseDockerfile } from "./parse.ts";
import { type PlanOptions, planBuild, withTriggers } from "./plan.ts";
import { unusedBuildArgs } from "./unused-args.ts";

const amd64 = { os: "linux", architecture: "amd64" };

function plan(text: string, options: Partial<PlanOptions> = {}) {
  return planBuild(parseDockerfile(text), { buildPlatform: amd64, ...options });
}

const THREE = "FROM a AS one\nFROM b AS two\nFROM c\nCOPY --from=one /x /\n";

test("only the stages that the target needs are planned to be built", () => {
  assert.deepEqual(plan(THREE).needed, [0, 2]);
  assert.deepEqual(plan(THREE, { target: "TWO" }).needed, [1]);
  assert.deepEqual(plan(THREE, { target: "1" }).needed, [1]);
  assert.deepEqual(plan(THREE, { allStages: true }).needed, [0, 1, 2]);
  assert.throws(
    () => plan(THREE, { target: "twoo" }),
    /"twoo" could not be found \(did you mean two\?\)/,
  );
});

test("sources are stages by name or number, contexts, images and nothing", () => {
  const text = [
    "FROM scratch AS base",
    "FROM base",
    "COPY --from=0 a b",
    "COPY --from=BASE a b",
    "COPY --from=assets a b",
    "COPY --from=alpine:3 a b",
    "COPY a b",
    "RUN --mount=from=0,target=/a --mount=type=cache,target=/c,from=assets --mount=target=/b x",
  ].join("\n");
  const { stages } = plan(text, { namedContexts: ["assets"] });
  assert.deepEqual(stages[1]?.base, { kind: "stage", index: 0 });
  const stage = { kind: "stage", index: 0 };
  const assets = { kind: "context", name: "assets" };
  assert.deepEqual(
    stages[1]?.instructions.map(({ sources }) => sources),
    [
      [stage],
      [stage],
      [assets],
      [{ kind: "image", reference: "docker.io/library/alpine:3", written: "alpine:3" }],
      [{ kind: "main" }],
      [stage, assets, { kind: "main" }],
    ],
  );
});

test("a named context replaces an image or a whole stage", () => {
  const text = "FROM alpine AS base\nRUN x\nFROM base\nFROM alpine\n";
  const { stages } = plan(text, { namedContexts: ["base", "alpine"], allStages: true });
  assert.equal(stages[0]?.replaced, true);
  assert.deepEqual(stages[0]?.instructions, []);
  assert.deepEqual(stages[2]?.base, { kind: "context", name: "alpine" });
  const latest = plan("FROM docker.io/library/alpine:latest", { namedContexts: ["alpine"] });
  assert.deepEqual(latest.stages[0]?.base, { kind: "context", name: "alpine" });
});

test("FROM sees global and platform arguments, build arguments first", () => {
  const text = [
    "ARG IMAGE=node",
    "ARG TAG=${IMAGE}-$TARGETARCH${TARGETVARIANT:+-$TARGETVARIANT}",
    "FROM --platform=$BUILDPLATFORM ${IMAGE}:${TAG}",
  ].join("\n");
  const targetPlatform = { os: "linux", architecture: "arm", variant: "v6" };
  const base = (options: Partial<PlanOptions>) => {
    const [stage] = plan(text, { targetPlatform, ...options }).stages;
    return [stage?.base.kind === "image" && stage.base.written, stage?.platform];
  };
  assert.deepEqual(base({}), ["node:node-arm-v6", amd64]);
  assert.deepEqual(base({ buildArgs: { IMAGE: "x", TARGETARCH: "z" } })[0], "x:x-z-v6");
  assert.deepEqual(plan("FROM --platform=arm64 a").stages[0]?.platform, {
    os: "linux",
    architecture: "arm64",
  });
});

test("what cannot be planned is refused at its line", () => {
  const rows: [text: string, message: RegExp, line: number][] = [
    ["FROM $NOPE", /base name \(\$NOPE\) should not be blank/, 1],
    ["FROM --platform=$NOPE a", /empty platform value from expression \$NOPE/, 1],
    ["FROM --platform=a/b/c/d a", /failed to parse platform/, 1],
    ["FROM Upper", /failed to parse stage name "Upper"/, 1],
    ["FROM a\nCOPY --from=5 a b", /invalid stage index 5/, 2],
    ["FROM a AS x\nCOPY --from=x a b", /circular dependency detected on stage: x/, 2],
    ["FROM a AS x\nRUN --mount=from=y,target=/a b\nFROM x AS y", /circular dependency/, 2],
    ["FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nFROM x", /cannot copy from stage "y"/, 2],
    ["ARG A=${B?needed}\nFROM a", /B: needed/, 1],
  ];
  for (const [text, message, line] of rows) {
    assert.throws(
      () => plan(text),
      (error) => message.test((error as Error).message) && placeOf(error)?.line === line,
      text,
    );
  }
});

test("triggers of a stage in the file and of a base image come first and are needed too", () => {
  const text = "FROM a AS src\nFROM b AS on\nONBUILD COPY --from=src x /\nFROM on\nRUN y\n";
  const own = plan(text);
  assert.deepEqual(own.needed, [0, 1, 2]);
  assert.deepEqual(
    own.stages[2]?.instructions.map(({ instruction, isTrigger }) => [instruction.kind, isTrigger]),
    [
      ["COPY", true],
      ["RUN", false],
    ],
  );
  const outer = plan("FROM a AS src\nFROM b\nRUN y\n");
  assert.deepEqual(outer.needed, [1]);
  const extended = withTriggers(outer, 1, ["COPY --from=src x /", "RUN z"]);
  assert.deepEqual(extended.needed, [0, 1]);
  assert.equal(extended.stages[1]?.instructions.length, 3);
  assert.deepEqual(outer.needed, [1]);
  assert.throws(() => withTriggers(outer, 1, ["NOPE"]), /ONBUILD trigger of the base image/);
});

test("build arguments that nothing declares are told", () => {
  const text = "ARG VERSION\nFROM a\nARG MODE\n";
  const buildArgs = { VERSOIN: "1", MODE: "x", HTTP_PROXY: "p", TARGETOS: "q" };
  assert.deepEqual(unusedBuildArgs(plan(text, { buildArgs })), {
    names: ["VERSOIN"],
    warning: "[Warning] One or more build-args [VERSOIN (did you mean VERSION?)] were not consumed",
  });
  assert.equal(unusedBuildArgs(plan(text)), undefined);
});

test("thousands of stages that build on one another are planned", () => {
  const lines = Array.from({ length: 1999 }, (_, n) => `FROM s${n} AS s${n + 1}`);
  const { needed } = plan(["FROM a AS s0", ...lines].join("\n"));
  assert.equal(needed.length, 2000);
});
