// Work that is tried again after failures that may pass, with growing waits that the user is told
// of second by second, as docker does.

import { setTimeout as delay } from "node:timers/promises";
import { isWorthARetry, retryDelayMs } from "./upload-rules.ts";

export interface RetryOptions {
  attemptsMax: number;
  /** Waits between attempts; the last one counts for all that follow. */
  delaysMs?: readonly number[];
  /** Told each second for how long it still waits. */
  onRetry?: (seconds: number) => void;
  /** Which failures may pass; those of an upload when nothing is said. */
  mayPass?: (error: unknown) => boolean;
  signal: AbortSignal;
}

/** `progress` says how far the work has come: attempts that come farther do not count. */
export async function retrying<T>(
  work: () => Promise<T>,
  { attemptsMax, delaysMs, onRetry, mayPass = isWorthARetry, signal }: RetryOptions,
  { progress = () => 0, isFinal = () => false }: Partial<Watch> = {},
): Promise<T> {
  let failures = 0;
  let reached = 0;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (progress() > reached) failures = 0;
      reached = Math.max(reached, progress());
      if (++failures >= attemptsMax || isFinal() || !mayPass(error)) throw error;
      await wait(retryDelayMs(error, failures, delaysMs), onRetry, signal);
    }
  }
}
interface Watch {
  progress: () => number;
  /** The failure was here, and another try makes it no better. */
  isFinal: () => boolean;
}

async function wait(
  ms: number,
  onRetry: RetryOptions["onRetry"],
  signal: AbortSignal,
): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    onRetry?.(Math.ceil(left / 1000));
    await delay(Math.min(left, 1000), undefined, { signal });
  }
}
