// The `--flags` of instructions: which there are, of which type, and the builder's messages about
// wrong ones.

import { parseBool } from "../../base/index.ts";
import { TextFault } from "./dockerfile-error.ts";
import { didYouMean } from "./suggest.ts";
import type { InstructionKind } from "./syntax-tree.ts";
import type { Word } from "./words.ts";

type FlagKind = "bool" | "string" | "strings";

const COPYING = { chown: "string", chmod: "string", link: "bool", exclude: "strings" } as const;
const FLAGS: Partial<Record<InstructionKind, Readonly<Record<string, FlagKind>>>> = {
  FROM: { platform: "string" },
  RUN: { mount: "strings", network: "string", security: "string", device: "strings" },
  COPY: { ...COPYING, from: "string", parents: "bool" },
  ADD: { ...COPYING, checksum: "string", "keep-git-dir": "bool", unpack: "bool" },
  HEALTHCHECK: {
    interval: "string",
    timeout: "string",
    "start-period": "string",
    "start-interval": "string",
    retries: "string",
  },
};

export class GivenFlags {
  readonly #values = new Map<string, Word[]>();

  constructor(kind: InstructionKind, words: readonly Word[]) {
    const allowed = FLAGS[kind] ?? {};
    for (const word of words) this.#take(kind, allowed, word);
  }

  #take(kind: InstructionKind, allowed: Readonly<Record<string, FlagKind>>, word: Word): void {
    const equals = word.text.indexOf("=");
    const name = word.text.slice(2, equals < 0 ? undefined : equals);
    const type = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    const fault = (message: string, remedy?: string) =>
      new TextFault(message, word.offset, word.text.length, remedy);
    if (type === undefined) {
      const known = Object.keys(allowed);
      const remedy =
        known.length === 0
          ? `${kind} takes no flags`
          : `${kind} takes ${known.map((flag) => `--${flag}`).join(", ")}`;
      throw fault(`unknown flag: --${name}${didYouMean(name, known)}`, remedy);
    }
    const given = this.#values.get(name) ?? [];
    if (given.length > 0 && type !== "strings") throw fault(`duplicate flag specified: --${name}`);
    if (equals < 0 && type !== "bool") {
      throw fault(`missing a value on flag: --${name}`, `write --${name}=VALUE`);
    }
    const value = equals < 0 ? "true" : word.text.slice(equals + 1);
    if (type === "bool" && readBool(value) === undefined) {
      throw fault(`expecting boolean value for flag ${name}, not: ${value}`);
    }
    given.push({ text: value, offset: word.offset });
    this.#values.set(name, given);
  }

  /** The value and where the flag stands. */
  word(name: string): Word | undefined {
    return this.#values.get(name)?.[0];
  }

  string(name: string): string | undefined {
    return this.word(name)?.text;
  }

  strings(name: string): string[] {
    return this.words(name).map(({ text }) => text);
  }

  words(name: string): Word[] {
    return this.#values.get(name) ?? [];
  }

  bool(name: string): boolean | undefined {
    const word = this.word(name);
    return word && readBool(word.text);
  }
}

/** A boolean as Go's strconv reads it; undefined when it is none. */
export function readBool(text: string): boolean | undefined {
  try {
    return parseBool(text);
  } catch {
    return undefined;
  }
}
