// Sends over a connection, and connects again where it is gone. Where the protocol acknowledges
// nothing (syslog, GELF) the kernel takes bytes that the receiver may never read: what was written
// in the last moments before a break is sent again, so that lines are doubled rather than lost; and
// at the end the receiver is asked to close, which it does when it has read everything.

import { on } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError, KeyedMutex, messageOf } from "../../base/index.ts";
import { dial, type Endpoint } from "./dial.ts";

const DIAL_TIMEOUT_MS = 10_000;
/** A receiver that takes nothing, or that does not answer, for so long is taken for dead. */
const STALL_MS = 60_000;
const ANSWER_BYTES_MAX = 64 * 1024;
/** What it says while it takes nothing waits on its side. */
const ANSWERS_WAITING = { highWaterMark: 4, lowWaterMark: 1 };
/** How long a line may lie unread at a receiver that is well, and how much we keep of them. */
const UNSURE_MS = 2_000;
const UNSURE_BYTES_MAX = 2 * 1024 * 1024;
/** Between attempts to send again what a break may have taken. */
const REVIVE_MS_MIN = 100;
const REVIVE_MS_MAX = 30_000;
/** How long a receiver may take to close after it was asked to. */
const FAREWELL_MS = 2_000;

type Written = { bytes: Buffer; lines: number; atMs: number };

export class StreamSender {
  readonly #endpoint: Endpoint;
  readonly #replays: boolean;
  readonly #stallMs: number;
  readonly #answerMs: number;
  #socket: Socket | undefined;
  #broken: Error | undefined;
  /** What the receiver may not have read yet, oldest first. */
  #unsure: Written[] = [];
  #unsureBytes = 0;
  #resend: Written[] = [];
  #forgetting: NodeJS.Timeout | undefined;
  #reviving = false;
  readonly #turns = new KeyedMutex();
  readonly #closed = new AbortController();

  /** `replays`: off where every message is acknowledged. */
  constructor(
    endpoint: Endpoint,
    { replays = true, stallMs = STALL_MS, answerMs = STALL_MS } = {},
  ) {
    this.#endpoint = endpoint;
    this.#replays = replays;
    this.#stallMs = stallMs;
    this.#answerMs = answerMs;
  }

  connect(signal: AbortSignal): Promise<void> {
    return this.#turns.run("", () => this.#connect(signal));
  }

  /** Resolves when the kernel has taken all of it. `lines`: how many it is, for unsureLines. */
  send(bytes: Buffer, signal: AbortSignal, lines = 0): Promise<void> {
    return this.#turns.run("", async () => {
      await this.#connect(signal);
      await this.#sendAgain(signal);
      await this.#write(bytes, signal, lines);
    });
  }

  /** Those that a break may take, or has taken: with `closing` the latter. */
  unsureLines({ closing }: { closing: boolean }): number {
    const count = (written: readonly Written[]) =>
      written.reduce((sum, { lines }) => sum + lines, 0);
    return count(this.#resend) + (closing ? 0 : count(this.#unsure));
  }

  /** Nothing more is sent: resolves when the receiver has read everything, as far as it shows. */
  farewell(signal: AbortSignal): Promise<void> {
    return this.#turns.run("", async () => {
      if (this.#resend.length > 0) {
        await this.#connect(signal);
        await this.#sendAgain(signal);
      }
      const socket = this.#socket;
      if (!socket || this.#unsure.length === 0) return;
      const patience = AbortSignal.any([signal, AbortSignal.timeout(FAREWELL_MS)]);
      const { promise, resolve } = Promise.withResolvers<"late">();
      patience.addEventListener("abort", () => resolve("late"), { once: true });
      socket.end();
      const gone = new Promise<unknown>((done) => socket.once("close", (error) => done(error)));
      const error = await Promise.race([promise, gone]);
      // It has closed on its own: whatever it says by that, it has read to the end.
      if (error === false || error === "late") this.#resend = [];
      else if (this.#resend.length > 0) throw this.#broken ?? new Error("the connection broke");
    });
  }

  async #connect(signal: AbortSignal): Promise<void> {
    if (this.#socket) return;
    const socket = await dial(this.#endpoint, { timeoutMs: DIAL_TIMEOUT_MS, signal });
    this.#socket = socket;
    this.#broken = undefined;
    socket.on("error", (error) => this.#lost(socket, error));
    socket.once("close", () => this.#lost(socket, new Error("the receiver closed the connection")));
    socket.once("end", () => this.#lost(socket, new Error("the receiver closed the connection")));
    socket.resume(); // what it says unasked is of no interest, but must not fill up
    socket.unref();
  }

  async #sendAgain(signal: AbortSignal): Promise<void> {
    while (this.#resend.length > 0) {
      const again = this.#resend[0]!;
      await this.#write(again.bytes, signal, again.lines);
      this.#resend = this.#resend.filter((written) => written !== again);
    }
  }

  /** After a break, also where no more lines come. */
  async #revive(): Promise<void> {
    const { signal } = this.#closed;
    for (let waitMs = REVIVE_MS_MIN; this.#resend.length > 0; ) {
      await delay(waitMs, undefined, { signal });
      waitMs = Math.min(waitMs * 2, REVIVE_MS_MAX);
      await this.#turns
        .run("", async () => {
          if (this.#resend.length === 0) return;
          await this.#connect(signal);
          await this.#sendAgain(signal);
        })
        .catch(() => {}); // whoever sends lines hears of it
    }
  }

  /** Sends, and gives what the receiver says next to `take`, which throws if it is not content. */
  async exchange(
    bytes: Buffer,
    take: (answers: AsyncIterable<Uint8Array>) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#connect(signal);
    const socket = this.#socket;
    if (!socket) throw this.#broken ?? new Error("the connection is closed");
    const late = AbortSignal.timeout(this.#answerMs);
    const patience = AbortSignal.any([signal, late]);
    const chunks = on(socket, "data", { ...ANSWERS_WAITING, signal: patience, close: ["close"] });
    try {
      await this.#write(bytes, signal);
      await take(bounded(chunks));
    } catch (error) {
      signal.throwIfAborted();
      const why = late.aborted ? new Error("the receiver does not acknowledge") : broken(error);
      this.#lost(socket, why);
      throw broken(why);
    } finally {
      await chunks.return?.();
      socket.resume();
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#closed.abort();
    clearTimeout(this.#forgetting);
    // What the kernel has taken it goes on delivering.
    socket?.destroySoon();
  }

  async #write(bytes: Buffer, signal: AbortSignal, lines = 0): Promise<void> {
    const socket = this.#socket;
    if (!socket) throw this.#broken ?? new GantryError("unavailable", "the connection is closed");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const closed = () => reject(this.#broken ?? new Error("the connection is closed"));
    const abort = () => reject(signal.reason);
    const stalled = () => reject(new Error("i/o timeout: the receiver takes nothing"));
    socket.setTimeout(this.#stallMs, stalled);
    socket.once("close", closed);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      await promise;
      if (this.#replays) this.#remember(bytes, lines);
    } catch (error) {
      this.#lost(socket, broken(error)); // half of it may be written
      throw signal.aborted ? signal.reason : broken(error);
    } finally {
      socket.setTimeout(0, stalled);
      socket.removeListener("timeout", stalled);
      socket.removeListener("close", closed);
      signal.removeEventListener("abort", abort);
    }
  }

  #remember(bytes: Buffer, lines: number): void {
    this.#unsure.push({ bytes, lines, atMs: Date.now() });
    this.#unsureBytes += bytes.length;
    this.#forgetOld();
  }

  #forgetOld(): void {
    const now = Date.now();
    while (this.#unsure.length > 0) {
      const { atMs, bytes } = this.#unsure[0]!;
      if (now - atMs < UNSURE_MS && this.#unsureBytes <= UNSURE_BYTES_MAX) break;
      this.#unsure.shift();
      this.#unsureBytes -= bytes.length;
    }
    clearTimeout(this.#forgetting);
    if (this.#unsure.length === 0) return;
    this.#forgetting = setTimeout(() => this.#forgetOld(), UNSURE_MS);
    this.#forgetting.unref();
  }

  #lost(socket: Socket, error: Error): void {
    socket.destroy();
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#broken = broken(error);
    this.#forgetOld();
    this.#resend.unshift(...this.#unsure);
    this.#unsure = [];
    this.#unsureBytes = 0;
    if (this.#resend.length === 0 || this.#reviving || this.#closed.signal.aborted) return;
    this.#reviving = true;
    void this.#revive()
      .catch(() => {}) // closed
      .finally(() => (this.#reviving = false));
  }
}

async function* bounded(chunks: AsyncIterable<unknown[]>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const [chunk] of chunks) {
    bytes += (chunk as Buffer).length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error("the receiver answers too much");
    yield chunk as Buffer;
  }
}

function broken(error: unknown): GantryError {
  return error instanceof GantryError
    ? error
    : new GantryError("unavailable", messageOf(error), { cause: error });
}
