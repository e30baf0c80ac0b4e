// How large the pieces of a transfer are: large while few run, which saves system calls and trips
// through the thread pool, small while hundreds run, so that memory stays flat. Buffers that have
// served one transfer serve the next.

const bytesTotal = 32 << 20;
const bytesMin = 32 << 10;
const bytesMax = 256 << 10;
const idleBytesMax = 8 << 20;

export interface Share {
  bytes: number;
  /** A buffer of that size. */
  buffer(): Buffer;
  giveBack(buffer: Buffer): void;
  release(): void;
}

export class StreamBudget {
  #active = 0;
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;

  /** A share for one stream, until it is released; releasing twice is harmless. */
  take(): Share {
    this.#active++;
    let taken = true;
    const fair = Math.floor(bytesTotal / this.#active / 2);
    const rounded = 2 ** Math.floor(Math.log2(fair));
    const bytes = Math.min(bytesMax, Math.max(bytesMin, rounded));
    return {
      bytes,
      buffer: () => this.#buffer(bytes),
      giveBack: (buffer) => this.#keep(buffer),
      release: () => {
        if (taken) this.#active--;
        taken = false;
      },
    };
  }

  #buffer(bytes: number): Buffer {
    const found = this.#idle.get(bytes)?.pop();
    if (found === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.#idleBytes -= bytes;
    return found;
  }

  #keep(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > idleBytesMax) return;
    const same = this.#idle.get(buffer.length);
    if (same === undefined) this.#idle.set(buffer.length, [buffer]);
    else same.push(buffer);
    this.#idleBytes += buffer.length;
  }
}
