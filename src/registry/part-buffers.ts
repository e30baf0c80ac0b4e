// The memory that uploads may hold: a fixed number of buffers of one part each, made when first
// wanted and used again. Who wants one when all are out waits, first come first served, so a
// thousand uploads cost no more than a few. A client that stops sending does not keep its buffer
// from the others: its upload is told to put aside what it has.

/** From when on an upload counts as stopped while others wait. */
const idleMsMax = 1_000;

/** A buffer that somebody has. */
export interface Share {
  readonly buffer: Buffer;
  /** Called when others wait and nothing came for a while; the owner may give the buffer back. */
  onWanted: (() => void) | undefined;
  /** When it was last filled (performance.now()). */
  usedAt: number;
}

export class PartBuffers {
  readonly bytes: number;
  #free: Buffer[] = [];
  #left: number;
  #waiting: ((buffer: Buffer) => void)[] = [];
  #out = new Set<Share>();
  #timer: NodeJS.Timeout | undefined;

  constructor(bytes: number, count: number) {
    this.bytes = bytes;
    this.#left = count;
  }

  async take(onWanted?: () => void): Promise<Share> {
    const share = { buffer: await this.#next(), onWanted, usedAt: performance.now() };
    this.#out.add(share);
    return share;
  }

  give(share: Share): void {
    this.#out.delete(share);
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(share.buffer);
    else next(share.buffer);
    if (this.#waiting.length === 0) this.#stopLooking();
  }

  async #next(): Promise<Buffer> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#left > 0) {
      this.#left--;
      return Buffer.allocUnsafeSlow(this.bytes);
    }
    this.#timer ??= setInterval(() => this.#askIdle(), idleMsMax / 2);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #askIdle(): void {
    const now = performance.now();
    for (const { usedAt, onWanted } of this.#out) {
      if (now - usedAt >= idleMsMax) onWanted?.();
    }
  }

  #stopLooking(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
