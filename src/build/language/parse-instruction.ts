// One instruction's text to its node of the syntax tree. The messages are the builder's; the place
// is added here, once, for all of them.

import { GantryError } from "../../base/index.ts";
import { errorAt, LineFault, TextFault } from "./dockerfile-error.ts";
import { GivenFlags } from "./flag-rules.ts";
import { parseCopying } from "./parse-copying.ts";
import { parseHealthcheck } from "./parse-healthcheck.ts";
import { cutAt, type RawInstruction } from "./raw-instruction.ts";
import { checkMount } from "./run-mount.ts";
import { checkNetwork, checkSecurity } from "./run-options.ts";
import type { EscapeToken } from "./shell-lexer.ts";
import type { SourceText } from "./source.ts";
import { didYouMean } from "./suggest.ts";
import {
  type Arg,
  type CommandLine,
  type From,
  INSTRUCTION_KINDS,
  type Instruction,
  type InstructionKind,
  type KeyValue,
  type Onbuild,
  type Run,
  type StageInstruction,
} from "./syntax-tree.ts";
import { blankWords, jsonWords, quotedWords, type Word } from "./words.ts";

/** What every parser of one kind gets. */
export interface Given {
  raw: RawInstruction;
  rest: Word;
  flags: GivenFlags;
  escape: EscapeToken;
  base: ReturnType<typeof baseOf>;
}
type Parser<K extends InstructionKind> = (given: Given) => Extract<Instruction, { kind: K }>;

const STAGE_NAME = /^[a-z][a-z0-9\-_.]*$/;

const PARSERS: { [K in InstructionKind]: Parser<K> } = {
  FROM: parseFrom,
  ARG: parseArg,
  ENV: (given) => ({ ...given.base, kind: "ENV", ...pairsOf("ENV", given) }),
  LABEL: (given) => ({ ...given.base, kind: "LABEL", ...pairsOf("LABEL", given) }),
  MAINTAINER: (given) => ({ ...given.base, kind: "MAINTAINER", author: one("MAINTAINER", given) }),
  USER: (given) => ({ ...given.base, kind: "USER", user: one("USER", given) }),
  WORKDIR: (given) => ({ ...given.base, kind: "WORKDIR", path: one("WORKDIR", given) }),
  STOPSIGNAL: (given) => ({ ...given.base, kind: "STOPSIGNAL", signal: one("STOPSIGNAL", given) }),
  CMD: (given) => ({ ...given.base, kind: "CMD", command: commandOf(given) }),
  ENTRYPOINT: (given) => ({ ...given.base, kind: "ENTRYPOINT", command: commandOf(given) }),
  RUN: parseRun,
  EXPOSE: (given) => ({
    ...given.base,
    kind: "EXPOSE",
    ports: some("EXPOSE", given, blankWords(given.rest)).sort(),
  }),
  VOLUME(given) {
    const paths = jsonWords(given.rest) ?? blankWords(given.rest).map(({ text }) => text);
    if (paths.length === 0) throw needsOne("VOLUME", given);
    const trimmed = paths.map((path) => path.trim());
    if (trimmed.includes("")) throw new TextFault("VOLUME specified can not be an empty string");
    return { ...given.base, kind: "VOLUME", paths: trimmed };
  },
  SHELL(given) {
    const shell = jsonWords(given.rest);
    if (shell === undefined && given.rest.text !== "") {
      const remedy = 'write SHELL ["/bin/bash", "-c"]';
      throw atRest(given, "SHELL requires the arguments to be in JSON form", remedy);
    }
    if (shell === undefined || shell.length === 0) throw needsOne("SHELL", given);
    return { ...given.base, kind: "SHELL", shell };
  },
  HEALTHCHECK: parseHealthcheck,
  COPY: (given) => parseCopying("COPY", given),
  ADD: (given) => parseCopying("ADD", given),
  ONBUILD: parseOnbuild,
};

/** Parses one instruction. Throws an error with its place. */
export function parseInstruction(
  raw: RawInstruction,
  source: SourceText,
  token: EscapeToken,
): Instruction {
  try {
    return parseRaw(raw, token);
  } catch (error) {
    throw located(error, raw, source);
  }
}

function located(error: unknown, raw: RawInstruction, source: SourceText): unknown {
  const isFault = error instanceof TextFault;
  if (!isFault && !(error instanceof GantryError && error.kind === "invalid")) return error;
  const { line } = raw.range.start;
  const range =
    isFault && error.length > 0 ? raw.line.rangeOf(error.offset, error.length) : raw.range;
  const remedy = isFault && error.remedy !== undefined ? { remedy: error.remedy } : {};
  const prefix = error instanceof LineFault ? "" : `dockerfile parse error on line ${line}: `;
  const message = `${prefix}${error.message}`;
  return errorAt({ source, range, ...remedy, ...(isFault ? {} : { cause: error }) }, message);
}

function parseRaw(raw: RawInstruction, token: EscapeToken): Instruction {
  const name = raw.keyword.toUpperCase();
  const kind = INSTRUCTION_KINDS.find((known) => known === name);
  if (kind === undefined) {
    const at = raw.line.text.indexOf(raw.keyword);
    const isLower = raw.keyword === raw.keyword.toLowerCase();
    const kinds = INSTRUCTION_KINDS.map((one) => (isLower ? one.toLowerCase() : one));
    const hint = didYouMean(name, kinds);
    const remedy = `a line starts with one of ${INSTRUCTION_KINDS.join(", ")}`;
    const message = `unknown instruction: ${raw.keyword}${hint}`;
    throw new TextFault(message, at, raw.keyword.length, hint === "" ? remedy : undefined);
  }
  const flags = new GivenFlags(kind, kind === "ONBUILD" ? [] : raw.flags);
  return PARSERS[kind]({ raw, rest: raw.rest, flags, escape: token, base: baseOf(raw) });
}

function baseOf(raw: RawInstruction) {
  return {
    keyword: raw.keyword,
    original: raw.line.text.trim(),
    range: raw.range,
    comments: raw.comments,
    emptyContinuations: raw.emptyContinuations,
  };
}

/** A fault that points at all the arguments. */
export function atRest({ rest, raw }: Given, message: string, remedy?: string): TextFault {
  if (rest.text !== "") return new TextFault(message, rest.offset, rest.text.length, remedy);
  return new TextFault(message, 0, raw.line.text.length, remedy);
}

function needsOne(name: string, given: Given): TextFault {
  return atRest(given, `${name} requires at least one argument`);
}

function one(name: string, given: Given): string {
  if (given.rest.text !== "") return given.rest.text;
  throw atRest(given, `${name} requires exactly one argument`);
}

function some(name: string, given: Given, words: Word[]): string[] {
  if (words.length === 0) throw needsOne(name, given);
  return words.map(({ text }) => text);
}

/** The exec form where the arguments are a JSON array of strings, else the shell form. */
export function commandOf({ rest }: Pick<Given, "rest">): CommandLine {
  const words = jsonWords(rest);
  return words === undefined ? { form: "shell", text: rest.text } : { form: "exec", words };
}

function parseFrom(given: Given): From {
  const words = blankWords(given.rest);
  const [base, as, name] = words;
  const isNamed = words.length === 3 && as!.text.toLowerCase() === "as";
  if (base === undefined || (words.length !== 1 && !isNamed)) {
    const remedy = "write FROM image or FROM image AS name";
    throw atRest(given, "FROM requires either one or three arguments", remedy);
  }
  const platform = given.flags.string("platform");
  const result: From = {
    ...given.base,
    kind: "FROM",
    base: base.text,
    ...(platform === undefined ? {} : { platform }),
  };
  if (name === undefined) return result;
  const lower = name.text.toLowerCase();
  if (!STAGE_NAME.test(lower)) {
    const rule = "name can't start with a number or contain symbols";
    const message = `invalid name for build stage: ${JSON.stringify(name.text)}, ${rule}`;
    throw new TextFault(message, name.offset, name.text.length);
  }
  return { ...result, name: lower, writtenName: name.text, as: as!.text };
}

function parseArg(given: Given): Arg {
  const words = quotedWords(given.rest, given.escape);
  if (words.length === 0) throw needsOne("ARG", given);
  const args = words.map((word) => {
    const equals = word.text.indexOf("=");
    if (equals < 0) return { name: word.text };
    if (equals === 0) {
      throw new TextFault("ARG names can not be blank", word.offset, word.text.length);
    }
    return { name: word.text.slice(0, equals), value: word.text.slice(equals + 1) };
  });
  return { ...given.base, kind: "ARG", args };
}

/** "k=v k2='v 2'", or the old form "k the rest of the line". */
function pairsOf(name: string, given: Given): { pairs: KeyValue[]; legacy: boolean } {
  const words = quotedWords(given.rest, given.escape);
  const [first] = words;
  if (first === undefined) throw needsOne(name, given);
  if (!first.text.includes("=")) {
    const [, key, value] = /^([^\t\v\f\r ]+)[\t\v\f\r ]+(.+)$/s.exec(given.rest.text) ?? [];
    if (key === undefined || value === undefined) {
      const { offset, text } = given.rest;
      const message = `${name} must have two arguments`;
      throw new LineFault(message, offset, text.length, `write ${name} name=value`);
    }
    return { pairs: [{ key, value }], legacy: true };
  }
  const pairs = words.map((word) => {
    const equals = word.text.indexOf("=");
    if (equals < 0) {
      const hint = `can't find = in ${JSON.stringify(word.text)}. Must be of the form: name=value`;
      const remedy = "put a value with blanks in quotes";
      throw new LineFault(`Syntax error - ${hint}`, word.offset, word.text.length, remedy);
    }
    if (equals === 0) {
      throw new TextFault(`${name} names can not be blank`, word.offset, word.text.length);
    }
    return { key: word.text.slice(0, equals), value: word.text.slice(equals + 1) };
  });
  return { pairs, legacy: false };
}

function parseRun(given: Given): Run {
  const { flags, raw } = given;
  for (const word of flags.words("mount")) {
    atWord(word, () => checkMount(word.text));
  }
  const network = flags.word("network");
  if (network) atWord(network, () => checkNetwork(network.text));
  const security = flags.word("security");
  if (security) atWord(security, () => checkSecurity(security.text));
  return {
    ...given.base,
    kind: "RUN",
    command: commandOf(given),
    heredocs: raw.heredocs,
    mounts: flags.strings("mount"),
    ...(network === undefined ? {} : { network: network.text }),
    ...(security === undefined ? {} : { security: security.text }),
    devices: flags.strings("device"),
  };
}

/** Gives a fault of the inner reader the place of the word that it read. */
function atWord(word: Word, read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof TextFault)) throw error;
    const Fault = error instanceof LineFault ? LineFault : TextFault;
    throw new Fault(error.message, word.offset, word.text.length, error.remedy);
  }
}

function parseOnbuild(given: Given): Onbuild {
  const { raw } = given;
  // Flags in front of the trigger would be its own; the builder knows none for ONBUILD itself.
  if (raw.flags.length > 0) new GivenFlags("ONBUILD", raw.flags);
  if (given.rest.text === "") throw needsOne("ONBUILD", given);
  const inner = cutAt(given.rest);
  const trigger = inner.keyword.toUpperCase();
  if (trigger === "ONBUILD") {
    throw atRest(given, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  }
  if (trigger === "MAINTAINER" || trigger === "FROM") {
    throw atRest(given, `${trigger} isn't allowed as an ONBUILD trigger`);
  }
  const parsed = parseRaw({ ...raw, ...inner }, given.escape) as StageInstruction;
  const bodies = raw.heredocs.map(({ content, name }) => `\n${content}${name}`);
  const text = raw.line.text.replace(/^\s*onbuild\s*/i, "").replace(/\r+$/, "");
  return {
    ...given.base,
    kind: "ONBUILD",
    expression: text + bodies.join(""),
    trigger: { ...parsed, original: text.trimEnd() },
  };
}
