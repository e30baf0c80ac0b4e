// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerConfig } from "../../spec/index.ts";
import { placeOf } from "./dockerfile-error.ts";
import { evaluateStage, type StageBase } from "./evaluate-stage.ts";
import { changeFileMode, parseFileMode } from "./file-mode.ts";
import { parseDockerfile } from "./parse.ts";
import { type PlanOptions, planBuild } from "./plan.ts";

const amd64 = { os: "linux", architecture: "amd64" };

function image(config: ContainerConfig): StageBase {
  return {
    kind: "image",
    document: { ...amd64, config, rootfs: { type: "layers", diff_ids: [] } },
  };
}

function evaluate(text: string, options: Partial<PlanOptions> = {}, base = image({})) {
  const plan = planBuild(parseDockerfile(text), { buildPlatform: amd64, ...options });
  let stage = evaluateStage(plan, plan.needed[0]!, base);
  for (const index of plan.needed.slice(1)) {
    stage = evaluateStage(plan, index, { kind: "stage", stage });
  }
  return stage;
}

function config(text: string, base: ContainerConfig = {}): ContainerConfig {
  return evaluate(`FROM a\n${text}`, {}, image({ Env: ["PATH=/p"], ...base })).config;
}

test("arguments come from the build, the default or the globals, and live in their stage", () => {
  const text = "ARG G=global\nFROM a\nARG G\nARG D=${G}-d\nARG N\nENV E=$G,$D,$N,$TARGETOS\n";
  assert.equal(evaluate(text).config.Env?.at(-1), "E=global,global-d,,");
  const given = evaluate(text, { buildArgs: { G: "1", N: "2" } });
  assert.equal(given.config.Env?.at(-1), "E=1,1-d,2,");
  assert.equal(config("ARG TARGETARCH\nENV A=$TARGETARCH").Env?.at(-1), "A=amd64");
  assert.equal(config("ENV A=$TARGETARCH").Env?.at(-1), "A=");
});

test("an ENV after an ARG wins, an ARG after an ENV shadows it for the steps only", () => {
  const first = evaluate("FROM a\nARG V=arg\nENV V=env\nRUN x\n");
  assert.equal(first.steps.at(-1)?.kind === "run" && first.steps[2]?.kind, "run");
  const run = first.steps[2];
  assert(run?.kind === "run");
  assert.equal(run.env.get("V"), "env");
  const second = evaluate("FROM a\nENV V=env\nARG V=arg\nRUN x\n");
  const shadowed = second.steps[2];
  assert(shadowed?.kind === "run");
  assert.equal(shadowed.env.get("V"), "arg");
  assert(second.config.Env?.includes("V=env"));
});

test("one instruction sees the values from before it", () => {
  assert.deepEqual(config("ENV A=1\nENV A=2 B=$A").Env, ["PATH=/p", "A=2", "B=1"]);
});

test("a stage on a stage inherits config, arguments and folder", () => {
  const text = [
    "FROM a AS one",
    "ARG V=1",
    "ENV E=e",
    "WORKDIR /w",
    "LABEL l=1",
    "CMD old",
    "FROM one",
    "WORKDIR sub",
    "RUN $V",
    'ENTRYPOINT ["e"]',
  ].join("\n");
  const { config: result, steps } = evaluate(text);
  assert.equal(result.WorkingDir, "/w/sub");
  assert.deepEqual(result.Labels, { l: "1" });
  assert.deepEqual([result.Entrypoint, result.Cmd], [["e"], null]);
  assert.equal(steps[1]?.history?.created_by, "RUN |1 V=1 /bin/sh -c $V # buildkit");
});

test("CMD and ENTRYPOINT reset each other as the builder does it", () => {
  assert.equal(config('ENTRYPOINT ["e"]', { Cmd: ["base"] }).Cmd, null);
  assert.deepEqual(config('CMD ["c"]\nENTRYPOINT ["e"]').Cmd, ["c"]);
  assert.deepEqual(config('CMD ["c"]', { Entrypoint: ["e"] }).Entrypoint, ["e"]);
  assert.equal(config("ENTRYPOINT []", { Entrypoint: ["e"] }).Entrypoint, null);
  assert.deepEqual(config('SHELL ["zsh", "-c"]\nCMD x').Cmd, ["zsh", "-c", "x"]);
});

test("triggers of the base leave the image, new ones stay", () => {
  assert.equal(config("", { OnBuild: ["RUN x"] }).OnBuild, undefined);
  assert.deepEqual(config("ONBUILD RUN y").OnBuild, ["RUN y"]);
});

test("a stage from nothing has a path and the root as its folder", () => {
  const plan = planBuild(parseDockerfile("FROM scratch\nMAINTAINER me\n"), {
    buildPlatform: amd64,
  });
  const stage = evaluateStage(plan, 0, { kind: "scratch" });
  assert.equal(stage.config.WorkingDir, "/");
  assert.match(stage.config.Env?.[0] ?? "", /^PATH=\/usr\/local\/sbin:/);
  assert.equal(stage.author, "me");
});

test("destinations are seen from the folder and keep a slash at their end", () => {
  const to = (destination: string) => {
    const step = evaluate(`FROM a\nWORKDIR /w\nCOPY a ${destination}\n`).steps[1];
    return step?.kind === "copy" && step.destination;
  };
  assert.deepEqual(["b", "b/", ".", "./", "/b/../c/", "../../x", "/"].map(to), [
    "/w/b",
    "/w/b/",
    "/w/",
    "/w/",
    "/c/",
    "/x",
    "/",
  ]);
});

test("sources cannot lead above the context's root", () => {
  const step = evaluate("FROM a\nCOPY ../../etc/passwd /x/../y ./a/ /d/\n").steps[0];
  assert(step?.kind === "copy");
  assert.deepEqual(
    step.paths.map(({ path }) => path),
    ["/etc/passwd", "/y", "/a"],
  );
});

test("ADD knows files, URLs and repositories, COPY only files", () => {
  const step = evaluate("FROM a\nADD a.tar https://h/x/y.tgz?z git@h:o/r.git#v1:sub /d/").steps[0];
  assert(step?.kind === "add");
  assert.deepEqual(step.sources, [
    { kind: "path", written: "a.tar", path: "/a.tar" },
    { kind: "http", url: "https://h/x/y.tgz?z", fileName: "y.tgz" },
    { kind: "git", remote: "git@h:o/r.git", ref: "v1", subdir: "sub" },
  ]);
  for (const [text, message] of [
    ["COPY https://h/x /d", /source can't be a URL for COPY/],
    ["COPY https://h/x.git /d", /source can't be a git ref for COPY/],
    ["ADD --checksum=sha256:00 https://h/x /d", /invalid checksum digest format/],
    ["ADD --checksum=sha256:00 x /d", /checksum requires HTTP\(S\) or Git sources/],
    [
      "ADD https://h/x.git?brnch=a /d",
      /unexpected query "brnch" in git URL \(did you mean branch\?\)/,
    ],
    ["COPY --chmod=999 a b", /invalid chmod parameter: '999'/],
    ["EXPOSE 80/icmp", /invalid proto: icmp/],
    ["EXPOSE 9-8", /invalid containerPort: 9-8/],
    ["STOPSIGNAL now!", /invalid signal: now!/],
    ["RUN --network=$X y", /invalid network mode ""/],
    ["RUN --mount=type=$X,target=/a y", /unsupported mount type ""/],
    ["WORKDIR ${X?needed}", /needed/],
    ["RUN []", /RUN requires at least one argument/],
  ] as const) {
    assert.throws(
      () => evaluate(`FROM a\n\n${text}`),
      (error) => message.test((error as Error).message) && placeOf(error)?.line === 3,
      text,
    );
  }
});

test("proxies reach the command and nothing else", () => {
  const { steps } = evaluate("FROM a\nRUN x\n", { buildArgs: { http_proxy: "p", NO_PROXY: "n" } });
  const [run] = steps;
  assert(run?.kind === "run");
  assert.deepEqual(run.proxyEnv.sort(), [
    "HTTP_PROXY=p",
    "NO_PROXY=n",
    "http_proxy=p",
    "no_proxy=n",
  ]);
  assert.equal(run.history?.created_by, "RUN /bin/sh -c x # buildkit");
  assert.equal(run.env.get("http_proxy"), undefined);
});

test("modes are octal or symbolic", () => {
  const change = (text: string, mode: number, isFolder = false) =>
    changeFileMode(parseFileMode(text), mode, isFolder).toString(8);
  assert.equal(change("0755", 0o600), "755");
  assert.equal(change("u=rwX,go=rX", 0o600), "644");
  assert.equal(change("u=rwX,go=rX", 0o700), "755");
  assert.equal(change("a+X", 0o644, true), "755");
  assert.equal(change("go-rwx", 0o777), "700");
  assert.equal(change("+x", 0o644), "755");
  assert.equal(change("g=u,o-r", 0o644), "660");
  assert.equal(change("u+s,+t", 0o755), "5755");
});

test("what grows without end is stopped", () => {
  const doubling = `ENV A=xxxxxxxx\n${"ENV A=$A$A$A$A\n".repeat(12)}`;
  assert.throws(() => config(doubling), /grows beyond/);
  const names = Array.from({ length: 5000 }, (_, n) => `N${n}=1`).join(" ");
  assert.throws(() => config(`ENV ${names}`), /more than 4096 variables/);
  assert.throws(() => config("EXPOSE 1-65535\n".repeat(4)), /EXPOSE names more than/);
  const args = `ARG A=${"x".repeat(500_000)}\n${"RUN x\n".repeat(100)}`;
  assert.throws(() => config(args), /history of a stage grows/);
  assert.deepEqual(Object.keys(config("LABEL __proto__=1 constructor=2").Labels ?? {}), [
    "__proto__",
    "constructor",
  ]);
});
