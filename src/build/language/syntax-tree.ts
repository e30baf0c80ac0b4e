// The syntax tree: one discriminated union, `kind` being the instruction's name. Values are as they
// were written; variables are expanded when a stage is evaluated (evaluate-stage.ts).

import type { HealthConfig } from "../../spec/index.ts";
import type { Directive } from "./directives.ts";
import type { Heredoc } from "./heredoc.ts";
import type { EscapeToken } from "./shell-lexer.ts";
import type { SourceRange, SourceText } from "./source.ts";

interface InstructionBase {
  /** As written, for checks of its case. */
  keyword: string;
  /** The logical line: continuations joined, comments out, here-documents not included. */
  original: string;
  range: SourceRange;
  comments: readonly string[];
  emptyContinuations: readonly number[];
}

/** A command in its exec form (words) or in its shell form (one text for a shell). */
export type CommandLine = { form: "exec"; words: string[] } | { form: "shell"; text: string };

export interface KeyValue {
  key: string;
  value: string;
}
export interface InlineFile {
  name: string;
  content: string;
  expand: boolean;
}
/** What ADD and COPY share. */
export interface CopyParts {
  sources: string[];
  inline: InlineFile[];
  destination: string;
  chown?: string;
  chmod?: string;
  link: boolean;
  exclude: string[];
}

export interface From extends InstructionBase {
  kind: "FROM";
  /** Image, stage or scratch, unexpanded. */
  base: string;
  platform?: string;
  /** In lower case. */
  name?: string;
  /** The name and the word AS as written. */
  writtenName?: string;
  as?: string;
}
export interface Arg extends InstructionBase {
  kind: "ARG";
  args: { name: string; value?: string }[];
}
export interface Env extends InstructionBase {
  kind: "ENV";
  pairs: KeyValue[];
  /** `ENV key value`. */
  legacy: boolean;
}
export interface Label extends InstructionBase {
  kind: "LABEL";
  pairs: KeyValue[];
  legacy: boolean;
}
export interface Maintainer extends InstructionBase {
  kind: "MAINTAINER";
  author: string;
}
export interface Run extends InstructionBase {
  kind: "RUN";
  command: CommandLine;
  heredocs: Heredoc[];
  /** Values of --mount, unexpanded (run-mount.ts reads them). */
  mounts: string[];
  network?: string;
  security?: string;
  devices: string[];
}
export interface Cmd extends InstructionBase {
  kind: "CMD";
  command: CommandLine;
}
export interface Entrypoint extends InstructionBase {
  kind: "ENTRYPOINT";
  command: CommandLine;
}
export interface Expose extends InstructionBase {
  kind: "EXPOSE";
  ports: string[];
}
export interface Volume extends InstructionBase {
  kind: "VOLUME";
  paths: string[];
}
export interface User extends InstructionBase {
  kind: "USER";
  user: string;
}
export interface Workdir extends InstructionBase {
  kind: "WORKDIR";
  path: string;
}
export interface StopSignal extends InstructionBase {
  kind: "STOPSIGNAL";
  signal: string;
}
export interface Shell extends InstructionBase {
  kind: "SHELL";
  shell: string[];
}
export interface Healthcheck extends InstructionBase {
  kind: "HEALTHCHECK";
  health: HealthConfig;
}
export interface Copy extends InstructionBase, CopyParts {
  kind: "COPY";
  from?: string;
  parents: boolean;
}
export interface Add extends InstructionBase, CopyParts {
  kind: "ADD";
  checksum?: string;
  keepGitDir: boolean;
  /** Undefined: local archives are unpacked, remote ones are not. */
  unpack?: boolean;
}
export interface Onbuild extends InstructionBase {
  kind: "ONBUILD";
  /** What the image config keeps, here-documents included. */
  expression: string;
  trigger: StageInstruction;
}

/** What may stand inside a stage. */
export type StageInstruction =
  | Arg
  | Env
  | Label
  | Maintainer
  | Run
  | Cmd
  | Entrypoint
  | Expose
  | Volume
  | User
  | Workdir
  | StopSignal
  | Shell
  | Healthcheck
  | Copy
  | Add
  | Onbuild;
export type Instruction = From | StageInstruction;
export type InstructionKind = Instruction["kind"];

export const INSTRUCTION_KINDS: readonly InstructionKind[] = [
  "ADD",
  "ARG",
  "CMD",
  "COPY",
  "ENTRYPOINT",
  "ENV",
  "EXPOSE",
  "FROM",
  "HEALTHCHECK",
  "LABEL",
  "MAINTAINER",
  "ONBUILD",
  "RUN",
  "SHELL",
  "STOPSIGNAL",
  "USER",
  "VOLUME",
  "WORKDIR",
];

export interface Stage {
  /** Counted from 0. */
  index: number;
  from: From;
  instructions: StageInstruction[];
}

export interface Dockerfile {
  source: SourceText;
  directives: Directive[];
  escape: EscapeToken;
  /** Before the first FROM. */
  globalArgs: Arg[];
  stages: Stage[];
}
