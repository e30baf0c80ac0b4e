// Messages of a call as an async iterable, with the client held back while nobody reads.

import type { GrpcCall } from "./grpc-call.ts";

const QUEUED_BYTES_MAX = 1024 * 1024;

export class MessageQueue<T> implements AsyncIterable<T> {
  #arrived: T[] = [];
  #taken: T[] = [];
  #at = 0;
  #bytes = 0;
  #ended: { error: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Set once the call exists. */
  call: Pick<GrpcCall, "pause" | "resume" | "cancel"> | undefined;

  push(value: T, bytes: number): void {
    this.#arrived.push(value);
    this.#bytes += bytes;
    if (this.#bytes > QUEUED_BYTES_MAX) this.call?.pause();
    this.#wake?.();
  }

  /** An error is thrown after what came before it. */
  end(error: unknown): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  /** The next message; undefined after the last. */
  async next(): Promise<T | undefined> {
    for (;;) {
      if (this.#at < this.#taken.length) return this.#taken[this.#at++];
      if (this.#arrived.length > 0) this.#take();
      else if (this.#ended?.error !== undefined) throw this.#ended.error;
      else if (this.#ended) return undefined;
      else await this.#arrival();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        while (this.#at < this.#taken.length) yield this.#taken[this.#at++]!;
        if (this.#arrived.length > 0) this.#take();
        else if (this.#ended?.error !== undefined) throw this.#ended.error;
        else if (this.#ended) return;
        else await this.#arrival();
      }
    } finally {
      if (!this.#ended) this.call?.cancel(undefined);
    }
  }

  /** All that is there at once: the client may go on. */
  #take(): void {
    this.#taken = this.#arrived;
    this.#at = 0;
    this.#arrived = [];
    if (this.#bytes > QUEUED_BYTES_MAX) this.call?.resume();
    this.#bytes = 0;
  }

  #arrival(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
  }
}
