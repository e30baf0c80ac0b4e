// Ships the log of one container: reads the local log from where it was shipped to, hands lines to
// the driver's sink in batches, tries again with growing delays, and remembers how far it has come
// after each batch that was taken. Holds at most two batches; what it does not read stays on disk.

import { setTimeout as delay } from "node:timers/promises";
import { type Logger, messageOf } from "../../base/index.ts";
import type { EntryBatch, LogCursor, LogEntry } from "../logs/index.ts";
import { type LogSink, RefusedLines } from "./contract.ts";
import { LineQueue } from "./line-queue.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 30_000;
/** One warning for a receiver that stays away, not one an attempt. */
const COMPLAIN_MS = 60_000;
/** A receiver that refuses so many lines, and takes none, is set up wrongly: lines wait. */
const REFUSED_IN_ROW_MAX = 20;
const RETRY_READ_MS = 5_000;
/** Between two times that it is written how far the log is shipped. */
const MARK_MS = 100;
/** The same while the receiver may not have read what was sent. */
const UNSURE_MS = 1000;

/** Where the lines come from and where it is remembered how far they were shipped. */
export interface ShippedLog {
  read(o: {
    from: LogCursor | undefined;
    follow: boolean;
    signal: AbortSignal;
  }): AsyncIterable<EntryBatch>;
  shipped(): Promise<LogCursor | undefined>;
  markShipped(cursor: LogCursor): Promise<void>;
}

export interface ShippingCounters {
  /** Lines that the receiver has taken. */
  shippedLines: number;
  shippedBytes: number;
  /** Read from the local log, not taken yet. */
  waitingLines: number;
  /** Attempts that failed and were repeated. */
  retries: number;
  /** Lines that the receiver refused, or that were given up by an option of the driver. */
  droppedLines: number;
  /** Times that lines were gone from the local log before they could be shipped. */
  gaps: number;
  /** Of the last attempt, while it fails. */
  error?: string;
  /** When a line was last taken, milliseconds since 1970. */
  shippedAtMs?: number;
}

type Fill = "full" | "late" | "ended";

export class Shipper {
  readonly counters: ShippingCounters = {
    shippedLines: 0,
    shippedBytes: 0,
    waitingLines: 0,
    retries: 0,
    droppedLines: 0,
    gaps: 0,
  };
  /** Settles when everything is shipped after `finish`, or after `stop`. Never rejects. */
  readonly done: Promise<void>;
  readonly #sink: LogSink;
  readonly #source: ShippedLog;
  readonly #log: Logger;
  readonly #queue = new LineQueue();
  readonly #stopping = new AbortController();
  readonly #ending = new AbortController();
  readonly #batches: AsyncGenerator<EntryBatch>;
  #next: Promise<IteratorResult<EntryBatch>> | undefined;
  /** Places that are not written down yet, and how many lines are taken before each. */
  #reached: { cursor: LogCursor; after: number }[] = [];
  #taken = 0;
  #marking: Promise<void> | undefined;
  #complainedAtMs = 0;
  #failures = 0;
  #refusedInRow = 0;

  constructor(o: { sink: LogSink; source: ShippedLog; log: Logger }) {
    this.#sink = o.sink;
    this.#source = o.source;
    this.#log = o.log;
    this.#batches = this.#read();
    this.done = this.#run();
  }

  /** The container has ended: ships what is there, then is done. */
  finish(): void {
    this.#ending.abort();
  }

  /** Ends at once. What is not shipped stays for the next shipper. */
  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      for (let fill: Fill = "late"; fill !== "ended"; ) {
        fill = await this.#fill();
        while (this.#queue.length > 0) {
          await this.#deliver(fill !== "full");
          if (fill !== "ended") break;
        }
      }
      await this.#farewell();
    } catch (error) {
      if (!signal.aborted) this.#complain("Shipping the log of a container has ended", error);
    } finally {
      // After a farewell nothing is unsure; without one the kernel delivers what is not broken.
      const last = this.#sure({ closing: true });
      this.#sink.close();
      void this.#batches.return(undefined).catch(() => {});
      this.#stopping.abort();
      await this.#marking;
      await this.#writeMark(last);
    }
  }

  /** Followed to the container's end, then once more for what was written since. */
  async *#read(): AsyncGenerator<EntryBatch> {
    const { signal } = this.#stopping;
    let from = await this.#source.shipped();
    const ended = AbortSignal.any([signal, this.#ending.signal]);
    for (const o of [
      { follow: true, signal: ended },
      { follow: false, signal },
    ]) {
      for (let isRead = false; !isRead; ) {
        try {
          for await (const batch of this.#source.read({ ...o, from })) {
            from = batch.cursor;
            yield batch;
          }
          isRead = true;
        } catch (error) {
          signal.throwIfAborted();
          if (o.signal.aborted) break; // the container has ended: a reader may say so by throwing
          this.#failed(error);
          await delay(RETRY_READ_MS, undefined, { signal });
        }
      }
      signal.throwIfAborted();
    }
  }

  /** Reads until a batch is full or its lines have waited long enough. */
  async #fill(): Promise<Fill> {
    const { linesMax, bytesMax, lingerMs } = this.#sink.limits;
    const timer = new AbortController();
    let late: Promise<"late"> | undefined;
    try {
      while (this.#queue.length < linesMax && this.#queue.bytes < bytesMax) {
        this.#next ??= this.#batches.next();
        if (this.#queue.length > 0) late ??= this.#lateness(lingerMs, timer.signal);
        const found = await (late ? Promise.race([this.#next, late]) : this.#next);
        if (found === "late") return "late";
        this.#next = undefined;
        if (found.done) return "ended";
        if (found.value.gap) this.counters.gaps++;
        this.#queue.push(found.value);
        this.counters.waitingLines = this.#queue.length;
      }
      return "full";
    } finally {
      timer.abort();
    }
  }

  #lateness(lingerMs: number, signal: AbortSignal): Promise<"late"> {
    // Lines that are there already are taken along in any case.
    if (lingerMs === 0) return new Promise((resolve) => setImmediate(resolve, "late" as const));
    return delay(lingerMs, "late" as const, { signal }).catch(() => "late" as const);
  }

  async #deliver(flush: boolean): Promise<void> {
    const lines = this.#queue.head(this.#sink.limits);
    const isAll = lines.length === this.#queue.length;
    const sent =
      (await this.#sendUntilTaken(lines, flush && isAll)) ||
      (await this.#sendUntilTaken(lines, true));
    this.#taken += sent;
    this.#mark(this.#queue.shift(sent));
    this.counters.waitingLines = this.#queue.length;
  }

  /** Remembers how far the log is shipped: at once, but not in every moment. */
  #mark(cursor: LogCursor | undefined): void {
    if (cursor === undefined) return;
    this.#reached.push({ cursor, after: this.#taken });
    this.#marking ??= this.#markReached();
  }

  /** The last place before which nothing has to be sent again, if there is a new one. */
  #sure({ closing }: { closing: boolean }): LogCursor | undefined {
    const sure = this.#taken - (this.#sink.unsureLines?.({ closing }) ?? 0);
    let cursor: LogCursor | undefined;
    while (this.#reached.length > 0 && this.#reached[0]!.after <= sure) {
      cursor = this.#reached.shift()!.cursor;
    }
    return cursor;
  }

  async #markReached(): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#reached.length > 0) {
      const cursor = this.#sure({ closing: signal.aborted });
      await this.#writeMark(cursor);
      if (signal.aborted) break;
      await delay(cursor ? MARK_MS : UNSURE_MS, undefined, { signal }).catch(() => {});
    }
    this.#marking = undefined;
  }

  async #writeMark(cursor: LogCursor | undefined): Promise<void> {
    if (cursor === undefined) return;
    await this.#source.markShipped(cursor).catch((error) => {
      this.#complain("Failed to remember how far the log of a container is shipped", error);
    });
  }

  /** Returns how many lines are done with: taken, refused or given up. */
  async #sendUntilTaken(lines: readonly LogEntry[], flush: boolean): Promise<number> {
    const { signal } = this.#stopping;
    const { attemptsMax = Number.POSITIVE_INFINITY } = this.#sink.limits;
    for (let attempt = 1; ; attempt++) {
      try {
        const taken = await this.#sink.send(lines, { flush, signal });
        this.#succeeded(lines.slice(0, taken));
        return taken;
      } catch (error) {
        signal.throwIfAborted();
        const isBelieved = this.#refusedInRow < REFUSED_IN_ROW_MAX;
        if (error instanceof RefusedLines && isBelieved) return await this.#divide(lines, error);
        this.#failed(error);
        if (attempt >= attemptsMax) return this.#drop(lines.length, error);
        this.counters.retries++;
        await delay(this.#retryMs(), undefined, { signal });
      }
    }
  }

  async #farewell(): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#sink.farewell && !signal.aborted) {
      try {
        return await this.#sink.farewell(signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#failed(error);
        this.counters.retries++;
        await delay(this.#retryMs(), undefined, { signal });
      }
    }
  }

  /** A line that is never taken must not hold up the others: halves are sent until it is alone. */
  async #divide(lines: readonly LogEntry[], error: RefusedLines): Promise<number> {
    if (lines.length === 1) {
      this.#refusedInRow++;
      return this.#drop(1, error);
    }
    return await this.#sendUntilTaken(lines.slice(0, lines.length >> 1), true);
  }

  #drop(count: number, error: unknown): number {
    this.counters.droppedLines += count;
    this.#complain("Lines of a container's log were not shipped", error);
    return count;
  }

  #succeeded(lines: readonly LogEntry[]): void {
    this.counters.shippedLines += lines.length;
    for (const { text } of lines) this.counters.shippedBytes += text.length;
    this.counters.shippedAtMs = Date.now();
    delete this.counters.error;
    this.#failures = 0;
    this.#refusedInRow = 0;
  }

  #failed(error: unknown): void {
    this.counters.error = messageOf(error);
    this.#failures++;
    this.#complain("Failed to ship the log of a container", error);
  }

  #retryMs(): number {
    const { retryMs } = this.#sink.limits;
    if (retryMs !== undefined) return retryMs;
    const growing = RETRY_MS_MIN * 2 ** Math.min(this.#failures - 1, 20);
    // Spread, so that a receiver that comes back is not met by everybody at once.
    return Math.min(growing, RETRY_MS_MAX) * (0.5 + Math.random() / 2);
  }

  #complain(what: string, error: unknown): void {
    const now = Date.now();
    if (now - this.#complainedAtMs < COMPLAIN_MS && this.#complainedAtMs > 0) return;
    this.#complainedAtMs = now;
    this.#log.warn(what, { error: messageOf(error) });
  }
}
