// Whole Dockerfiles as people write them, read to the end: stages, steps, config, history and
// findings as text beside each file. `UPDATE_GOLDEN=1` writes them anew, to be reviewed.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ImageConfigDocument } from "../../spec/index.ts";
import { evaluateStage, type StageBase } from "./evaluate-stage.ts";
import { lintDockerfile } from "./lint.ts";
import { shortFinding } from "./lint-report.ts";
import { parseDockerfile } from "./parse.ts";
import { type PlannedStage, planBuild, type Source } from "./plan.ts";
import type { EvaluatedStage, Step } from "./steps.ts";

const folder = join(import.meta.dirname, "golden");
const request = {
  buildPlatform: { os: "linux", architecture: "amd64" },
  targetPlatform: { os: "linux", architecture: "arm64" },
  buildArgs: { EXTRA: "https://example.org/simple", https_proxy: "proxy:3128" },
  namedContexts: ["shared"],
};
const image: ImageConfigDocument = {
  architecture: "arm64",
  os: "linux",
  config: { Env: ["PATH=/usr/bin:/bin", "HOME=/root"], Cmd: ["sh"], WorkingDir: "/" },
  rootfs: { type: "layers", diff_ids: [] },
  history: [{ created_by: "the base" }],
};

function render(text: string): string {
  const file = parseDockerfile(text);
  const plan = planBuild(file, request);
  const out: string[] = [];
  const done = new Map<number, EvaluatedStage>();
  for (const planned of plan.stages) {
    const isNeeded = plan.needed.includes(planned.index);
    out.push(`stage ${planned.index} "${planned.label}" from ${where(planned.base)}`);
    if (!isNeeded) out.push("  not needed");
    if (!isNeeded) continue;
    const stage = evaluateStage(plan, planned.index, baseOf(planned, done));
    done.set(planned.index, stage);
    for (const step of stage.steps) out.push(...renderStep(step));
  }
  const last = done.get(plan.target)!;
  out.push("config", indented(last.config), "history");
  for (const { created_by, empty_layer } of last.history) {
    out.push(`  ${empty_layer ? "-" : "+"} ${JSON.stringify(created_by).slice(1, -1)}`);
  }
  const { findings } = lintDockerfile(text, { ...request, baseOf: () => image });
  out.push("findings", ...findings.map((finding) => `  ${shortFinding(finding)}`), "");
  return out.join("\n");
}

function baseOf({ base }: PlannedStage, done: ReadonlyMap<number, EvaluatedStage>): StageBase {
  if (base.kind === "scratch") return { kind: "scratch" };
  if (base.kind === "stage") return { kind: "stage", stage: done.get(base.index)! };
  return { kind: "image", document: image };
}

function where(source: Source): string {
  if (source.kind === "stage") return `stage ${source.index}`;
  if (source.kind === "image") return source.reference;
  return source.kind === "context" ? `context ${source.name}` : source.kind;
}

function renderStep(step: Step): string[] {
  const { kind, label, instruction } = step;
  const lines = [
    `  ${kind} ${JSON.stringify(label).slice(1, -1)} (line ${instruction.range.start.line})`,
  ];
  if (kind === "config") return lines;
  const { instruction: _, history: __, label: ___, isTrigger: ____, kind: _____, ...rest } = step;
  const shown: Record<string, unknown> = { ...rest };
  if (step.kind === "run") {
    shown["env"] = step.env.entries();
    shown["mounts"] = step.mounts.map(({ mount, from }) => ({ ...mount, from: where(from) }));
  }
  if (step.kind === "copy") shown["from"] = where(step.from);
  for (const [key, value] of Object.entries(shown)) {
    const isEmpty = value === false || (Array.isArray(value) && value.length === 0);
    if (!isEmpty && value !== "") lines.push(`    ${key}: ${JSON.stringify(value)}`);
  }
  return lines;
}

function indented(value: object): string {
  return Object.entries(value)
    .map(([key, field]) => `  ${key}: ${JSON.stringify(field)}`)
    .join("\n");
}

for (const name of readdirSync(folder).filter((file) => file.endsWith(".Dockerfile"))) {
  test(`${name} is read as it was reviewed`, () => {
    const expected = join(folder, name.replace(/Dockerfile$/, "txt"));
    const rendered = render(readFileSync(join(folder, name), "utf8"));
    if (process.env["UPDATE_GOLDEN"]) writeFileSync(expected, rendered);
    assert.equal(rendered, readFileSync(expected, "utf8"));
  });
}
