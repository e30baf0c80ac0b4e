// The stream that an attached client holds. It exists before the container runs, is connected to
// the monitor's stream when that is there, and ends with it or when the detach keys are typed.
// Back-pressure goes through in both directions; nothing is buffered beyond one chunk.

import { Duplex } from "node:stream";
import type { DetachFilter } from "./detach-keys.ts";

type Callback = (error?: Error | null) => void;

export class AttachPipe extends Duplex {
  #inner: Duplex | undefined;
  #filter: DetachFilter | undefined;
  #waiting: (() => void) | undefined;
  #ended = false;
  #wanted: (() => void) | undefined;
  #onDetach: () => void;
  /** Resolves when the client has been given everything, or is gone. */
  readonly drained: Promise<void>;

  constructor(filter: DetachFilter | undefined, onDetach: () => void = () => {}) {
    super({ allowHalfOpen: true });
    this.#filter = filter;
    this.#onDetach = onDetach;
    this.drained = new Promise((resolve) => {
      this.once("end", resolve);
      this.once("close", resolve);
    });
  }

  /** Connects the client to `inner`; what it wrote before follows. */
  connect(inner: Duplex): void {
    if (this.destroyed || this.#ended) {
      inner.destroy();
      return;
    }
    this.#inner = inner;
    inner.on("data", (chunk: Uint8Array) => {
      if (!this.push(chunk)) inner.pause();
    });
    inner.once("end", () => this.finish());
    inner.once("close", () => this.finish());
    inner.once("error", () => this.finish());
    this.#waiting?.();
    this.#waiting = undefined;
  }

  /** Pushes output of our own (logs that come before the live stream). */
  prepend(chunk: Uint8Array): boolean {
    return this.push(chunk);
  }

  /** Resolves when the client has room for more, or is gone. */
  async wanted(): Promise<void> {
    if (this.destroyed) return;
    await new Promise<void>((resolve) => (this.#wanted = resolve));
  }

  /** No more output will come. */
  finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
    // Input has nowhere to go any more: swallow what is still written.
    this.#waiting?.();
    this.#waiting = undefined;
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
    this.#inner?.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Callback): void {
    if (!this.#inner && !this.#ended) {
      this.#waiting = () => this._write(chunk, _encoding, done);
      return;
    }
    const { pass, detach } = this.#filter?.push(chunk) ?? { pass: chunk, detach: false };
    if (detach) {
      this.#onDetach();
      this.finish();
      this.#inner?.destroy();
      done();
      return;
    }
    if (this.#ended || !this.#inner?.writable || pass.length === 0) {
      done();
      return;
    }
    this.#inner.write(pass, () => done());
  }

  override _final(done: Callback): void {
    if (!this.#inner && !this.#ended) {
      this.#waiting = () => this._final(done);
      return;
    }
    this.#inner?.end();
    done();
  }

  override _destroy(error: Error | null, done: Callback): void {
    this.#ended = true;
    this.#inner?.destroy();
    this.#waiting?.();
    this.#wanted?.();
    done(error);
  }
}
