// --progress=tty: the steps as a list that is drawn over itself, with timers, and beneath each
// running step its transfers and the last lines that it said. Every drawing is one write: the
// cursor goes up, lines are overwritten, what is left of longer ones is cleared.

import { stripVTControlCharacters } from "node:util";
import type { Io } from "../../../io.ts";
import type { Display } from "./display.ts";
import type { Status, VertexStatus } from "./status.ts";
import { bytesText, isBegun, isCancelled, isDone, type Step, Trace } from "./trace.ts";

const DRAW_MS = 100;
const TICK_MS = 150;
const LOG_LINES_MAX = 6;
const ROWS_MIN = 5;
const COLUMNS_MIN = 20;

const BLUE = "\x1b[34m";
const RED = "\x1b[31m";
const YELLOW = "\x1b[33m";
const PLAIN = "\x1b[0m";
const HIDE = "\x1b[?25l";
const SHOW = "\x1b[?25h";

interface Row {
  text: string;
  time: string;
  color?: string;
}

export class TtyDisplay implements Display {
  readonly trace = new Trace();
  readonly #io: Io;
  readonly #title: string;
  readonly #colors: boolean;
  readonly #stops: (() => void)[];
  #drawn = 0;
  #lastDraw = 0;
  #isDone = false;

  constructor(io: Io, title: string) {
    this.#io = io;
    this.#title = title;
    this.#colors = !io.env["NO_COLOR"];
    io.stderr.write(HIDE);
    const ticking = setInterval(() => this.#draw(), TICK_MS);
    this.#stops = [() => clearInterval(ticking), io.onResize(() => this.#afterResize())];
  }

  update(status: Status): void {
    this.trace.update(status);
    this.trace.updated.clear();
    if (performance.now() - this.#lastDraw >= DRAW_MS) this.#draw();
  }

  finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    for (const stop of this.#stops) stop();
    this.#draw();
    this.#io.stderr.write(SHOW);
  }

  /** Lines may have been broken anew: what is below the first of ours is drawn again. */
  #afterResize(): void {
    this.#io.stderr.write("\x1b[J");
    this.#draw();
  }

  #draw(): void {
    this.#lastDraw = performance.now();
    const { rows = 24, columns = 80 } = this.#io.windowSize() ?? {};
    const width = Math.max(columns, COLUMNS_MIN);
    const lines = drawing(this.trace, {
      title: this.#title,
      width,
      height: Math.max(rows, ROWS_MIN),
      isDone: this.#isDone,
      now: Date.now(),
    });
    let out = this.#drawn > 0 ? `\x1b[${this.#drawn}A\r` : "\r";
    for (const { text, time, color } of lines) {
      const line = fitted(text, time, width);
      out += color && this.#colors ? `${color}${line}${PLAIN}` : line;
      out += "\x1b[K\n";
    }
    out += "\x1b[J";
    this.#drawn = lines.length;
    this.#io.stderr.write(out);
  }
}

export interface DrawingOptions {
  title: string;
  width: number;
  height: number;
  isDone: boolean;
  now: number;
}

/** The rows of the list: the head, then as many steps as there is room for, the latest last. */
export function drawing(trace: Trace, o: DrawingOptions): Row[] {
  const begun = trace.begun();
  const done = begun.filter(isDone).length;
  const ended = Math.max(0, ...begun.map((step) => step.completed ?? 0));
  const from = trace.started ?? o.now;
  const seconds = Math.max(0, ((o.isDone && ended > 0 ? ended : o.now) - from) / 1000);
  const state = o.isDone ? " FINISHED" : "";
  const head = `[+] ${o.title} ${seconds.toFixed(1)}s (${done}/${trace.steps.size})${state}`;
  const groups = begun.map((step) => rowsOf(step, o));
  const room = o.height - 2;
  const rows = o.isDone ? groups.flat() : fitRows(groups, begun, room);
  return [{ text: head, time: "", color: o.isDone ? BLUE : "" }, ...rows];
}

/** Drops what is least of interest first: details of steps that are done, then the oldest steps. */
function fitRows(groups: readonly Row[][], steps: readonly Step[], room: number): Row[] {
  const count = (all: readonly Row[][]) => all.reduce((sum, rows) => sum + rows.length, 0);
  let fitting = groups.map((rows) => [...rows]);
  if (count(fitting) > room) {
    fitting = fitting.map((rows, at) => (isDone(steps[at]!) ? rows.slice(0, 1) : rows));
  }
  for (let at = 0; at < fitting.length && count(fitting) > room; at++) {
    if (isDone(steps[at]!)) fitting[at] = [];
  }
  return fitting.flat().slice(-room);
}

function rowsOf(step: Step, { isDone: isOver, now, width }: DrawingOptions): Row[] {
  const isFinished = isDone(step);
  const end = step.completed ?? now;
  const time = step.started === undefined ? 0 : Math.max(0, end - step.started) / 1000;
  let prefix = "";
  let color = isFinished ? BLUE : "";
  if (step.error !== "") {
    prefix = isCancelled(step) ? "CANCELED " : "ERROR ";
    color = isCancelled(step) ? YELLOW : RED;
  } else if (step.cached) prefix = "CACHED ";
  const rows: Row[] = [{ text: ` => ${prefix}${step.name}`, time: `${time.toFixed(1)}s`, color }];
  for (const why of step.because?.split("\n") ?? [])
    rows.push({ text: ` => => why: ${why}`, time: "" });
  for (const status of step.statuses.values()) rows.push(statusRow(status, now));
  if (!isFinished && !isOver && isBegun(step)) {
    for (const line of recentLines(step, width)) rows.push({ text: ` => => # ${line}`, time: "" });
  }
  for (const { short } of isOver ? [] : step.warnings) {
    rows.push({ text: ` => => WARN: ${short}`, time: "", color: YELLOW });
  }
  return rows;
}

function statusRow(status: VertexStatus, now: number): Row {
  const { id, current, total, started, completed } = status;
  let text = ` => => ${id}`;
  if (total !== 0) text += ` ${bytesText(current)} / ${bytesText(total)}`;
  else if (current !== 0) text += ` ${bytesText(current)}`;
  const seconds = started === undefined ? 0 : Math.max(0, (completed ?? now) - started) / 1000;
  return { text, time: `${seconds.toFixed(1)}s`, color: completed === undefined ? "" : BLUE };
}

/** What the step's terminal would show last: carriage returns begin a line anew. */
function recentLines(step: Step, width: number): string[] {
  const text = stripVTControlCharacters(step.recent.join("")).replaceAll("\t", "    ");
  const lines = text
    .split("\n")
    .map((line) => line.replace(/\r+$/, ""))
    .map((line) => line.slice(line.lastIndexOf("\r") + 1))
    .filter((line) => line.trim() !== "");
  return lines.slice(-LOG_LINES_MAX).map((line) => line.slice(0, Math.max(0, width - 10)));
}

/** A line of exactly the width, its time at the right. */
function fitted(text: string, time: string, width: number): string {
  const clean = stripVTControlCharacters(text).replace(/[\x00-\x1f\x7f]/g, " ");
  const room = width - time.length - 2;
  if (room <= 0) return clean.slice(0, width - 1);
  const shown = columns(clean) > room ? `${cut(clean, room - 3)}...` : clean;
  if (time === "") return shown;
  return `${shown}${" ".repeat(Math.max(1, room - columns(shown) + 1))}${time}`;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3fffd}]/u;

function columns(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let count = 0;
  for (const char of text) count += WIDE.test(char) ? 2 : /\p{M}/u.test(char) ? 0 : 1;
  return count;
}

function cut(text: string, room: number): string {
  let count = 0;
  let out = "";
  for (const char of text) {
    count += columns(char);
    if (count > room) break;
    out += char;
  }
  return out;
}
