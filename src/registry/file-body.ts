// A part of a file as a stream that can also send itself: two buffers take turns, one being read
// into by the thread pool while the other is on its way to the socket, and are used again for the
// next transfer. Fresh buffers for each piece would cost more in page faults than the reading
// itself.

import { close, read } from "node:fs";
import { Readable, type Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { StreamBudget } from "./stream-budget.ts";

export class FileBody extends Readable {
  readonly #fd: number;
  readonly #share: ReturnType<StreamBudget["take"]>;
  #position: number;
  readonly #end: number; // exclusive
  #reading: Promise<unknown> | undefined;

  constructor(
    fd: number,
    { start, end, budget }: { start: number; end: number; budget: StreamBudget },
  ) {
    const share = budget.take();
    super({ highWaterMark: share.bytes });
    this.#fd = fd;
    this.#share = share;
    this.#position = start;
    this.#end = end;
  }

  override _read(size: number): void {
    const length = Math.min(size, this.#end - this.#position);
    if (length <= 0) {
      this.push(null);
      return;
    }
    const buffer = Buffer.allocUnsafeSlow(length);
    this.#readInto(buffer).then(
      (bytes) => this.push(bytes === 0 ? null : buffer.subarray(0, bytes)),
      (error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#share.release();
    const end = (): void => close(this.#fd, (failure) => done(error ?? failure));
    // A descriptor that is closed while it is read could be another file's by then.
    if (this.#reading === undefined) end();
    else this.#reading.then(end, end);
  }

  /** Writes everything and ends the sink. Rejects when the sink closes before. */
  async sendTo(sink: Writable): Promise<void> {
    const buffers = [this.#share.buffer(), this.#share.buffer()];
    let written: Promise<void> = Promise.resolve();
    let isClean = false;
    try {
      for (let turn = 0; this.#position < this.#end; turn ^= 1) {
        const bytes = await this.#readInto(buffers[turn]!);
        await written; // the other buffer is free, and the sink keeps up
        if (bytes === 0) throw new Error("the file is shorter than it was");
        written = write(sink, buffers[turn]!.subarray(0, bytes));
      }
      await written;
      sink.end();
      await finished(sink);
      isClean = true;
    } finally {
      written.catch(() => {});
      // After a failure the kernel may still be reading from one of them.
      if (isClean) for (const buffer of buffers) this.#share.giveBack(buffer);
      this.destroy();
    }
  }

  #readInto(buffer: Buffer): Promise<number> {
    const length = Math.min(buffer.length, this.#end - this.#position);
    const reading = new Promise<number>((resolve, reject) => {
      read(this.#fd, buffer, 0, length, this.#position, (error, bytes) => {
        this.#reading = undefined;
        if (error) return reject(error);
        this.#position += bytes;
        resolve(bytes);
      });
    });
    this.#reading = reading;
    return reading;
  }
}

function write(sink: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (sink.destroyed) return reject(new Error("the receiver left"));
    const left = (): void => reject(new Error("the receiver left"));
    sink.once("close", left);
    sink.write(bytes, (error) => {
      sink.off("close", left);
      if (error) reject(error);
      else resolve();
    });
  });
}
