// A picture that is drawn again and again in one place of a terminal: whole lines over the old
// ones, cut to the window, so that nothing flickers. Elsewhere the text is simply written.

import type { Io, Output } from "../io.ts";

/** Without a cursor, and lines that are too long are cut instead of wrapped. */
const ENTER = "\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?25h\x1b[?7h";
const ENDING = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);
const CLEAR = "\x1b[2J\x1b[H";

export class LiveScreen implements Disposable {
  readonly #io: Io;
  readonly #isLive: boolean;
  #begun = false;
  readonly #end = new AbortController();
  readonly #stopListening: () => void;
  /** Aborted when the user has had enough (Ctrl-C), or is gone. */
  readonly signal: AbortSignal;

  constructor(io: Io, isLive: boolean) {
    this.#io = io;
    this.#isLive = isLive;
    this.signal = AbortSignal.any([io.signal, this.#end.signal]);
    this.#stopListening = isLive
      ? io.onSignal((name) => ENDING.has(name) && this.#end.abort())
      : () => {};
  }

  /** Draws what `draw` writes. */
  async draw(draw: (out: Output) => Promise<void>): Promise<void> {
    const { stdout } = this.#io;
    if (!this.#isLive) return draw(stdout);
    let text = "";
    await draw({
      isTerminal: true,
      color: stdout.color,
      columns: () => stdout.columns(),
      stream: stdout.stream,
      write: (data) => {
        text += typeof data === "string" ? data : Buffer.from(data).toString("utf8");
      },
    });
    const rows = this.#io.windowSize()?.rows;
    const lines = text.replace(/\n$/, "").split("\n");
    const kept = rows === undefined ? lines : lines.slice(0, Math.max(1, rows - 1));
    stdout.write(
      `${this.#begun ? "\x1b[H" : ENTER + CLEAR}${kept
        .map((line) => `${line}\x1b[K\n`)
        .join("")}\x1b[J`,
    );
    this.#begun = true;
  }

  [Symbol.dispose](): void {
    this.#stopListening();
    if (this.#begun) this.#io.stdout.write(LEAVE);
  }
}
