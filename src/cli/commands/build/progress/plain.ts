// --progress=plain: a line for everything that happens, each with its step's number, as tools look
// for it: "#5 [2/3] RUN make", "#5 0.123 output", "#5 DONE 1.2s", "#5 CACHED". Steps run side by
// side; lines of one stay together until it ends, says nothing for long, or has had its turn.

import type { Output } from "../../../io.ts";
import type { Display } from "./display.ts";
import type { Status, VertexStatus } from "./status.ts";
import { bytesText, isCancelled, isDone, type Step, secondsText, Trace } from "./trace.ts";

/** A step that has had its turn for so long gives way to others. */
const TURN_MS = 5_000;
const PAUSE_BEFORE_TIMES_SECONDS = 0.01;

export class PlainDisplay implements Display {
  readonly trace = new Trace();
  readonly #out: Output;
  readonly #now: () => number;
  #current: Step | undefined;
  #turnSince = 0;
  #count = 0;
  #isFirst = true;
  #text = "";

  constructor(out: Output, now: () => number = Date.now) {
    this.#out = out;
    this.#now = now;
  }

  update(status: Status): void {
    this.trace.update(status);
    this.#print();
    this.#flush();
  }

  finish(): void {
    for (const step of this.trace.updated) this.#show(step);
    this.#flush();
  }

  #print(): void {
    const updated = [...this.trace.updated].sort((a, b) => order(a) - order(b));
    const current = this.#current;
    if (current !== undefined && this.trace.updated.has(current)) this.#show(current);
    for (const step of updated) if (step !== current && isDone(step)) this.#show(step);
    const waiting = updated.filter((step) => this.trace.updated.has(step) && step !== current);
    if (waiting.length === 0) return;
    const hasTurn = this.#current !== undefined && this.#now() - this.#turnSince < TURN_MS;
    if (!hasTurn) this.#show(waiting[0]!);
  }

  #show(step: Step): void {
    this.#turnTo(step);
    this.trace.updated.delete(step);
    const mark = `#${step.number}`;
    let isOpen = false;
    for (const id of step.changed) {
      const status = step.statuses.get(id)!;
      if (status.completed === undefined) isOpen = true;
      this.#line(`${mark} ${statusText(status)}`);
    }
    step.changed.clear();
    for (const warning of step.warnings.splice(0)) this.#line(`${mark} WARN: ${warning.short}`);
    for (const { seconds, text } of step.lines.splice(0)) {
      this.#line(`${mark} ${secondsText(seconds)} ${text}`);
    }
    if (!isDone(step) || (isOpen && step.error === "")) return;
    this.#line(`${mark} ${endText(step)}`);
    this.#current = undefined;
  }

  #turnTo(step: Step): void {
    if (this.#current === step) return;
    if (this.#current !== undefined) this.#line(`#${this.#current.number} ...`);
    if (this.#isFirst) this.#isFirst = false;
    else this.#line("");
    if (step.number === 0) step.number = ++this.#count;
    this.#line(`#${step.number} ${step.name}`);
    this.#current = step;
    this.#turnSince = this.#now();
  }

  #line(text: string): void {
    this.#text += `${text}\n`;
  }
  #flush(): void {
    if (this.#text === "") return;
    this.#out.write(this.#text);
    this.#text = "";
  }
}

const order = (step: Step): number => step.number || Number.MAX_SAFE_INTEGER;

function statusText({ id, current, total, started, completed, timestamp }: VertexStatus): string {
  let text = id;
  if (total !== 0) text += ` ${bytesText(current)} / ${bytesText(total)}`;
  else if (current !== 0) text += ` ${bytesText(current)}`;
  if (started !== undefined) {
    const seconds = ((completed ?? timestamp) - started) / 1000;
    if (seconds > PAUSE_BEFORE_TIMES_SECONDS) text += ` ${seconds.toFixed(1)}s`;
  }
  return completed === undefined ? text : `${text} done`;
}

function endText(step: Step): string {
  if (step.error !== "") return isCancelled(step) ? "CANCELED" : `ERROR: ${step.error}`;
  if (step.cached) return "CACHED";
  const milliseconds = (step.completed ?? 0) - (step.started ?? step.completed ?? 0);
  return `DONE ${(milliseconds / 1000).toFixed(1)}s`;
}
