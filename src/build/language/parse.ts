// A Dockerfile's bytes to its syntax tree: stages, each with its instructions, and the ARGs before
// the first of them.

import { errorAt } from "./dockerfile-error.ts";
import { instructionsMax, stagesMax } from "./limits.ts";
import { parseInstruction } from "./parse-instruction.ts";
import { type RawInstruction, readInstructions } from "./raw-instruction.ts";
import { readSource, type SourceText } from "./source.ts";
import type { Dockerfile, StageInstruction } from "./syntax-tree.ts";

/** Parses a Dockerfile. Throws invalid with the place in `detail` (dockerfile-error.ts). */
export function parseDockerfile(bytes: Uint8Array | string, name = "Dockerfile"): Dockerfile {
  const { file, fault } = parseToFault(readSource(bytes, name));
  if (fault !== undefined) throw fault;
  return file;
}

/** Parses as far as the file is right: the checks report what comes before the first fault. */
export function parseToFault(source: SourceText): { file: Dockerfile; fault?: unknown } {
  const file: Dockerfile = { source, directives: [], escape: "\\", globalArgs: [], stages: [] };
  try {
    const { instructions, ...rest } = readInstructions(source);
    Object.assign(file, rest);
    fill(file, instructions);
    return { file };
  } catch (fault) {
    return { file, fault };
  }
}

function fill(file: Dockerfile, instructions: readonly RawInstruction[]): void {
  const { source, stages, globalArgs } = file;
  const { name } = source;
  if (instructions.length > instructionsMax) {
    const { range } = instructions[instructionsMax]!;
    throw errorAt({ source, range }, `${name} has more than ${instructionsMax} instructions`);
  }
  for (const raw of instructions) {
    const instruction = parseInstruction(raw, source, file.escape);
    const stage = stages.at(-1);
    if (instruction.kind === "FROM") {
      if (stages.length === stagesMax) {
        const place = { source, range: instruction.range };
        throw errorAt(place, `${name} has more than ${stagesMax} stages`);
      }
      stages.push({ index: stages.length, from: instruction, instructions: [] });
    } else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === "ARG") globalArgs.push(instruction);
    else {
      const remedy = "only ARG may stand before the first FROM: add FROM image above this line";
      const message = "no build stage in current context";
      throw errorAt({ source, range: instruction.range, remedy }, message);
    }
  }
  if (stages.length === 0) {
    const { range } = instructions.at(-1)!;
    const remedy = "add FROM image";
    throw errorAt({ source, range, remedy }, "dockerfile contains no stages to build");
  }
}

/** Parses the text of one ONBUILD trigger, as an image config keeps it. */
export function parseTrigger(expression: string): StageInstruction {
  const source = readSource(expression, "ONBUILD trigger");
  const { instructions } = readInstructions(source);
  const raw = instructions[0] as RawInstruction;
  const parsed = instructions.length === 1 ? parseInstruction(raw, source, "\\") : undefined;
  if (parsed === undefined) {
    throw errorAt({ source, range: raw.range }, "onbuild trigger should be a single expression");
  }
  if (parsed.kind === "FROM" || parsed.kind === "ONBUILD" || parsed.kind === "MAINTAINER") {
    throw errorAt(
      { source, range: raw.range },
      `${parsed.kind} isn't allowed as an ONBUILD trigger`,
    );
  }
  return parsed;
}
