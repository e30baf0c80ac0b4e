// `--change` of commit and import: Dockerfile instructions that only change an image's config,
// applied without building anything. What would need a build is refused in docker's words.

import { GantryError } from "../../base/index.ts";
import type { ContainerConfig } from "../../spec/index.ts";
import {
  applyInstruction,
  type ConfigInstruction,
  finishConfig,
  startConfig,
} from "./config-change.ts";
import { expandInstruction } from "./expand-instruction.ts";
import { parseInstruction } from "./parse-instruction.ts";
import { readInstructions } from "./raw-instruction.ts";
import { readSource } from "./source.ts";
import { expandAt, faultAt } from "./variables.ts";

const ALLOWED: readonly string[] = [
  "CMD",
  "ENTRYPOINT",
  "ENV",
  "EXPOSE",
  "HEALTHCHECK",
  "LABEL",
  "ONBUILD",
  "STOPSIGNAL",
  "USER",
  "VOLUME",
  "WORKDIR",
];

/** Returns a copy of `config` with the instructions applied in order. Throws invalid. */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const text = changes.filter((change) => change.trim() !== "").join("\n");
  if (text === "") return structuredClone(config);
  const source = readSource(text, "change");
  const file = { source, ...readInstructions(source) };
  for (const { keyword } of file.instructions) {
    if (ALLOWED.includes(keyword.toUpperCase())) continue;
    throw new GantryError("invalid", `${keyword} is not a valid change command`);
  }
  const state = startConfig(config, "linux");
  const { ArgsEscaped: escapedBefore } = config;
  const get = (name: string) => state.env.get(name)?.slice(name.length + 1);
  for (const raw of file.instructions) {
    const parsed = parseInstruction(raw, source, file.escape) as ConfigInstruction;
    const expand = (word: string, ignoreQuotes = false) =>
      expandAt(file, parsed, word, { get }, { ignoreQuotes });
    const expanded = expandInstruction(parsed, {
      word: (word) => expand(word).text,
      words: (word) => expand(word).words,
      body: (word) => expand(word, true).text,
    });
    try {
      applyInstruction(state, expanded);
    } catch (error) {
      throw faultAt(file, parsed, error);
    }
  }
  const result = finishConfig(state);
  // Only a build's CMD marks its arguments; a commit keeps what the container's config said.
  if (escapedBefore === undefined) delete result.ArgsEscaped;
  return result;
}
