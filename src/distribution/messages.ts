// Docker's progress stream as an async generator fed by work that runs beside it. Progress of one
// blob replaces what has not been read yet, so a slow reader costs no memory.

import { humanSize } from "../base/index.ts";
import type { Message, Tell } from "./contract.ts";

const progressIntervalMs = 100;

/** Runs `work` and yields what it tells. Throws its error after its last message; a reader who
 * stops early aborts it. */
export async function* messagesOf(
  work: (tell: Tell, signal: AbortSignal) => Promise<void>,
  outer?: AbortSignal,
): AsyncGenerator<Message> {
  const stop = new AbortController();
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
  const queue: Message[] = [];
  let wake = (): void => {};
  let ended = false;
  const tell = (message: Message): void => {
    const last = queue.findLastIndex(({ id }) => id === message["id"] && id !== undefined);
    if (last >= 0 && isProgress(message) && queue[last]!["status"] === message["status"]) {
      queue[last] = message;
    } else queue.push(message);
    wake();
  };
  const done = work(tell, signal).finally(() => {
    ended = true;
    wake();
  });
  done.catch(() => {});
  try {
    while (!ended || queue.length > 0) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    await done;
  } finally {
    stop.abort();
    await done.catch(() => {});
  }
}

function isProgress({ progressDetail }: Message): boolean {
  return (progressDetail as { current?: number } | undefined)?.current !== undefined;
}

/** Tells how far a blob is, not more often than people can read, unless it `must` be told. */
export function progressMeter(tell: Tell, id: string, status: string, total: number) {
  let toldAt = 0;
  return (current: number, must = false): void => {
    const now = performance.now();
    if (now - toldAt < progressIntervalMs && !must) return;
    toldAt = now;
    const progress = progressBar(current, total);
    tell({ status, progressDetail: { current, total }, progress, id });
  };
}

/** As docker's daemon renders it for clients that do not: half a character a percent. */
export function progressBar(current: number, total: number): string {
  if (total <= 0) return humanSize(current).padStart(8);
  const done = Math.min(50, Math.floor(Math.trunc((current / total) * 100) / 2));
  const bar = `[${"=".repeat(done)}>${" ".repeat(50 - done)}]`;
  const so = humanSize(current).padStart(8);
  return current > total ? `${bar} ${so}` : `${bar} ${so}/${humanSize(total)}`;
}

/** A step of a layer: `id` is the blob's or layer's short digest. */
export function step(status: string, id: string): Message {
  return { status, progressDetail: {}, id };
}

export function shortId(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}
