// What a remote log driver is. A driver checks options and opens sinks; a sink delivers lines and
// says how many need not be sent again. What all drivers share (reading the local log, batches,
// retries, the cursor, counting) is the shipper's, so that a driver is its protocol and no more.

import type { Logger } from "../../base/index.ts";
import type { LogEntry, LogInfo, RemoteLogDriver } from "../logs/index.ts";

export type LogDriverOptions = Readonly<Record<string, string>>;

export interface SinkLimits {
  /** Of one `send`. */
  linesMax: number;
  bytesMax: number;
  /** How long lines may wait for more of them. */
  lingerMs: number;
  /** Undelivered lines are dropped (and counted) after so many attempts; absent: never. */
  attemptsMax?: number;
  /** Between attempts, instead of the shipper's growing delay. */
  retryMs?: number;
}

export interface SendOptions {
  /** No more lines follow soon: whatever waits for its other half goes as it is. */
  flush: boolean;
  signal: AbortSignal;
}

export interface LogSink {
  readonly limits: SinkLimits;
  /** First contact; it fails the start of a container. Absent where the receiver may come later. */
  connect?(signal: AbortSignal): Promise<void>;
  /** Delivers from the front. Resolves with the number of lines that need not be sent again, all
   * of them where `flush` is set. Throws RefusedLines for what will never be taken; after any other
   * error the same lines are sent again. */
  send(lines: readonly LogEntry[], o: SendOptions): Promise<number>;
  /** Every line is sent and none follows. Resolves when the receiver has them, as far as that can
   * be known; what it throws is tried again. */
  farewell?(signal: AbortSignal): Promise<void>;
  /** How many of the lines that were taken last are sent again by this sink if the connection
   * breaks: another daemon must find them in the local log. With `closing`, of those only which
   * the kernel does not deliver by itself. Absent: what is taken is taken. */
  unsureLines?(o: { closing: boolean }): number;
  /** Lets go of connections at once. */
  close(): void;
}

/** The receiver has answered, and will not take these lines however often it is asked. */
export class RefusedLines extends Error {}

export interface LogDriver extends RemoteLogDriver {
  /** Throws what dockerd finds out only at the start. */
  open(c: LogInfo, o: { log: Logger }): LogSink | Promise<LogSink>;
}
