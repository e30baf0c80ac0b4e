// How progress names a step: "[build 2/5] RUN npm ci". The numbers count the base image and what
// makes layers, as BuildKit counts them; variables are shown expanded, secrets are not.

import type { PlannedStage } from "./plan.ts";
import { expandText, type LexerOptions, type Variables } from "./shell-lexer.ts";
import type { Run, StageInstruction } from "./syntax-tree.ts";

const COUNTED: readonly StageInstruction["kind"][] = ["ADD", "COPY", "RUN", "WORKDIR"];

export class StepLabels {
  readonly #stage: PlannedStage;
  readonly #total: number;
  #index = 0;

  constructor(stage: PlannedStage) {
    this.#stage = stage;
    const isImage = stage.base.kind === "image" || stage.base.kind === "context";
    const counted = stage.instructions.filter(({ instruction }) => isCounted(instruction));
    this.#total = counted.length + (isImage ? 1 : 0);
    if (isImage) this.#index = 1;
  }

  /** Of the base image itself: "[build 1/5] FROM docker.io/library/node:22". */
  get base(): string {
    const { base } = this.#stage;
    if (base.kind === "image") return `${this.#prefix(1)}FROM ${base.reference}`;
    return base.kind === "context" ? `${this.#prefix(1)}FROM ${base.name}` : "";
  }

  /** Of the next step; only the counted ones are numbered. */
  next(instruction: StageInstruction, isTrigger: boolean, variables: Variables): string {
    if (!isCounted(instruction)) return upperKeyword(instruction.original);
    const text = shown(instruction, variables);
    this.#index++;
    return `${this.#prefix(this.#index)}${isTrigger ? "ONBUILD " : ""}${text}`;
  }

  #prefix(index: number): string {
    const name = this.#stage.label === "" ? "" : `${this.#stage.label} `;
    const width = String(this.#total).length;
    return `[${name}${String(index).padStart(width)}/${this.#total}] `;
  }
}

function isCounted({ kind }: StageInstruction): boolean {
  return COUNTED.includes(kind);
}

function shown(instruction: StageInstruction, variables: Variables): string {
  const isRun = instruction.kind === "RUN";
  const options: LexerOptions = isRun ? { rawQuotes: true, keepUnset: true } : {};
  const written = isRun ? instruction.original + heredocSummary(instruction) : instruction.original;
  let text: string;
  try {
    text = expandText(written, variables, options).text;
  } catch {
    text = written; // only a name: what cannot be expanded is shown as it is
  }
  return upperKeyword(text);
}

function upperKeyword(text: string): string {
  const blank = text.search(/\s/);
  const end = blank < 0 ? text.length : blank;
  return text.slice(0, end).toUpperCase() + text.slice(end);
}

function heredocSummary({ heredocs }: Run): string {
  const [first] = heredocs;
  if (first === undefined) return "";
  const lines = first.content.trim().split(/\r?\n/);
  return ` (${lines[0]}${lines.length > 1 ? "..." : ""})`;
}
