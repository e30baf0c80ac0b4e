// The steps of a build in the order in which they were first heard of, with what each has said and
// not yet shown. Both displays read it; so does the report of a failure.

import { stripVTControlCharacters } from "node:util";
import type { Status, Vertex, VertexStatus, VertexWarning } from "./status.ts";

/** What is kept of a step's last words for the report of its failure. */
const TAIL_BYTES_MAX = 100 * 1024;
/** Pieces of output that a terminal may show the last lines of. */
const RECENT_MAX = 200;

export interface Step extends Vertex {
  /** From 1, once it is shown. */
  number: number;
  statuses: Map<string, VertexStatus>;
  /** Statuses that have changed since they were last shown. */
  changed: Set<string>;
  /** Whole lines that were not shown yet, with the time since the step's start in seconds. */
  lines: { seconds: number; text: string }[];
  /** The beginning of a line. */
  partial?: { seconds: number; text: string } | undefined;
  warnings: VertexWarning[];
  /** The last lines with their times, for the report of a failure. */
  tail: string[];
  /** Output that came since the terminal last showed it. */
  recent: string[];
}

export class Trace {
  readonly steps = new Map<string, Step>();
  /** Steps about which something is new. */
  readonly updated = new Set<Step>();
  readonly warnings: VertexWarning[] = [];
  #tailBytes = new Map<Step, number>();
  started: number | undefined;

  update(status: Status): void {
    for (const vertex of status.vertexes) this.#vertex(vertex);
    for (const one of status.statuses) this.#status(one);
    for (const warning of status.warnings) {
      this.warnings.push(warning);
      const step = this.steps.get(warning.vertex);
      if (step) {
        step.warnings.push(warning);
        this.updated.add(step);
      }
    }
    for (const { vertex, data, timestamp } of status.logs) {
      const step = this.steps.get(vertex);
      if (step) this.#log(step, Buffer.from(data).toString("utf8"), timestamp);
    }
  }

  #vertex(vertex: Vertex): void {
    const known = this.steps.get(vertex.digest);
    if (known === undefined) {
      const step: Step = {
        ...vertex,
        number: 0,
        statuses: new Map(),
        changed: new Set(),
        lines: [],
        warnings: [],
        tail: [],
        recent: [],
      };
      this.steps.set(vertex.digest, step);
      if (step.started !== undefined || step.cached) this.updated.add(step);
    } else {
      const isNew =
        known.started !== vertex.started ||
        known.completed !== vertex.completed ||
        known.cached !== vertex.cached ||
        known.error !== vertex.error;
      // A step may be told again without what was known of it.
      Object.assign(known, vertex, {
        started: vertex.started ?? known.started,
        completed: vertex.completed,
        because: vertex.because ?? known.because,
      });
      if (isNew) this.updated.add(known);
      if (known.completed !== undefined) this.#endLine(known);
    }
    if (vertex.started !== undefined) this.started ??= vertex.started;
  }

  #status(status: VertexStatus): void {
    const step = this.steps.get(status.vertex);
    if (!step) return;
    step.statuses.set(status.id, status);
    step.changed.add(status.id);
    this.updated.add(step);
  }

  #log(step: Step, text: string, timestamp: number): void {
    this.updated.add(step);
    step.recent.push(text);
    if (step.recent.length > RECENT_MAX) step.recent.splice(0, RECENT_MAX / 2);
    const seconds = step.started === undefined ? 0 : (timestamp - step.started) / 1000;
    const parts = text.split("\n");
    const last = parts.pop()!;
    for (const part of parts) {
      const begun = step.partial ?? { seconds, text: "" };
      step.lines.push({ seconds: begun.seconds, text: begun.text + part });
      this.#keepTail(step, `${secondsText(begun.seconds)} ${begun.text}${part}`);
      step.partial = undefined;
    }
    if (last !== "") {
      const begun = step.partial ?? { seconds, text: "" };
      step.partial = { seconds: begun.seconds, text: begun.text + last };
    }
  }

  /** What a step said last need not end its line. */
  #endLine(step: Step): void {
    if (step.partial === undefined) return;
    step.lines.push(step.partial);
    this.#keepTail(step, `${secondsText(step.partial.seconds)} ${step.partial.text}`);
    step.partial = undefined;
    this.updated.add(step);
  }

  #keepTail(step: Step, line: string): void {
    step.tail.push(line);
    let bytes = (this.#tailBytes.get(step) ?? 0) + line.length;
    while (bytes > TAIL_BYTES_MAX && step.tail.length > 1) bytes -= step.tail.shift()!.length;
    this.#tailBytes.set(step, bytes);
  }

  /** Steps that have begun, in order. */
  begun(): Step[] {
    return [...this.steps.values()].filter((step) => isBegun(step));
  }
}

export function isBegun(step: Step): boolean {
  return step.started !== undefined || step.cached || step.completed !== undefined;
}
export function isDone(step: Step): boolean {
  return step.completed !== undefined;
}
export function isCancelled(step: Step): boolean {
  return /context canceled$/.test(step.error);
}

/** The last lines that a step said, without what moves a terminal's cursor. */
export function lastWords(step: Step): string[] {
  return step.tail.map((line) => stripVTControlCharacters(line).replaceAll("\r", "\n"));
}

/** "0.123", "12.34", "123.4" */
export function secondsText(seconds: number): string {
  return seconds.toFixed(seconds < 10 ? 3 : seconds < 100 ? 2 : 1);
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes as BuildKit shows them: "512B", "1.50kB". */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value}B` : `${value.toFixed(2)}${UNITS[unit]}`;
}
