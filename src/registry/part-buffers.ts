// The memory that uploads may hold: a fixed number of buffers of one part each, made when first
// wanted and used again. Who wants one when all are out waits, first come first served, so a
// thousand uploads cost no more than a few.

export class PartBuffers {
  readonly bytes: number;
  #free: Buffer[] = [];
  #left: number;
  #waiting: ((buffer: Buffer) => void)[] = [];

  constructor(bytes: number, count: number) {
    this.bytes = bytes;
    this.#left = count;
  }

  async take(): Promise<Buffer> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#left > 0) {
      this.#left--;
      return Buffer.allocUnsafeSlow(this.bytes);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(buffer: Buffer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }
}
