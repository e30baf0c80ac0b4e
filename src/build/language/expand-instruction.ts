// Which parts of an instruction have variables expanded. The bodies of RUN, CMD, ENTRYPOINT, SHELL
// and HEALTHCHECK are left to the shell that will run them.

import type { Add, Copy, CopyParts, KeyValue, StageInstruction } from "./syntax-tree.ts";

export interface Expander {
  word(text: string): string;
  /** Cut into words after expansion, as EXPOSE does. */
  words(text: string): string[];
  /** The body of a here-document: quotes mean nothing. */
  body(text: string): string;
}

/** The instruction with its values expanded; ARG is expanded where it is declared. */
export function expandInstruction<T extends StageInstruction>(instruction: T, by: Expander): T;
export function expandInstruction(instruction: StageInstruction, by: Expander): StageInstruction {
  switch (instruction.kind) {
    case "ENV":
    case "LABEL":
      return { ...instruction, pairs: instruction.pairs.map((pair) => expandPair(pair, by)) };
    case "EXPOSE":
      return { ...instruction, ports: instruction.ports.flatMap((port) => by.words(port)) };
    case "USER":
      return { ...instruction, user: by.word(instruction.user) };
    case "WORKDIR":
      return { ...instruction, path: by.word(instruction.path) };
    case "STOPSIGNAL":
      return { ...instruction, signal: by.word(instruction.signal) };
    case "VOLUME":
      return { ...instruction, paths: instruction.paths.map((path) => by.word(path)) };
    case "COPY":
      return { ...instruction, ...expandParts(instruction, by) };
    case "ADD": {
      const { checksum } = instruction;
      const sum = checksum === undefined ? {} : { checksum: by.word(checksum) };
      return { ...instruction, ...expandParts(instruction, by), ...sum };
    }
    default:
      return instruction;
  }
}

function expandPair({ key, value }: KeyValue, by: Expander): KeyValue {
  return { key: by.word(key), value: by.word(value) };
}

function expandParts(parts: Add | Copy, by: Expander): CopyParts {
  const { chown, chmod } = parts;
  return {
    sources: parts.sources.map((source) => by.word(source)),
    inline: parts.inline.map((file) =>
      file.expand ? { ...file, content: by.body(file.content) } : file,
    ),
    destination: by.word(parts.destination),
    ...(chown === undefined ? {} : { chown: by.word(chown) }),
    ...(chmod === undefined ? {} : { chmod: by.word(chmod) }),
    link: parts.link,
    exclude: parts.exclude.map((pattern) => by.word(pattern)),
  };
}
