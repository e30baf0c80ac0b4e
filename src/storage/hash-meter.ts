// Bytes on their way, counted and hashed: a layer's identity is known when its last byte has gone
// by.

import { createHash, type Hash } from "node:crypto";
import { Transform } from "node:stream";
import { noteGarbage } from "../base/index.ts";

/** Passes bytes on, counting and hashing them. */
export class HashMeter extends Transform {
  bytes = 0;
  #hash: Hash;
  #algorithm: string;
  #digest: string | undefined;
  #check: (() => void) | undefined;

  constructor(algorithm: string, check?: () => void) {
    super({ highWaterMark: 256 * 1024 });
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
    this.#check = check;
  }
  override _transform(chunk: Buffer, _: string, done: (error: null, chunk: Buffer) => void): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    noteGarbage(chunk.length);
    done(null, chunk);
  }
  override _flush(done: (error?: Error | null) => void): void {
    try {
      this.#check?.();
      done();
    } catch (error) {
      done(error as Error);
    }
  }
  /** Only once the stream has ended. */
  digest(): string {
    this.#digest ??= `${this.#algorithm}:${this.#hash.digest("hex")}`;
    return this.#digest;
  }
}
