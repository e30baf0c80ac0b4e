// A container's local log in memory, for shippers: `write` makes a batch of lines that readers get,
// also those that follow. It remembers how far it was shipped, as the real one does.

import type { ShippedLog } from "../../src/engine/log-drivers/shipper.ts";
import type { EntryBatch, LogCursor, LogEntry } from "../../src/engine/logs/contract.ts";

export class MemoryLog implements ShippedLog {
  readonly batches: LogEntry[][] = [];
  marked: LogCursor | undefined;
  #waiting: (() => void)[] = [];

  write(...lines: (string | Partial<LogEntry>)[]): void {
    const timeNano = BigInt(Date.now()) * 1_000_000n;
    this.batches.push(
      lines.map((line) => {
        const given = typeof line === "string" ? { text: Buffer.from(line) } : line;
        return { stream: "stdout", timeNano, text: Buffer.alloc(0), ...given };
      }),
    );
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async *read(o: {
    from: LogCursor | undefined;
    follow: boolean;
    signal: AbortSignal;
  }): AsyncGenerator<EntryBatch> {
    for (let at = Number(o.from ?? 0); ; at++) {
      while (at >= this.batches.length) {
        if (!o.follow || o.signal.aborted) return;
        await new Promise<void>((resolve) => {
          this.#waiting.push(resolve);
          o.signal.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      yield { entries: this.batches[at]!, cursor: String(at + 1) as LogCursor };
    }
  }

  async markShipped(cursor: LogCursor): Promise<void> {
    this.marked = cursor;
  }

  async shipped(): Promise<LogCursor | undefined> {
    return this.marked;
  }
}
