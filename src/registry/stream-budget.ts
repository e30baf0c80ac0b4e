// How large the pieces of a transfer are: large while few run, which saves system calls and trips
// through the thread pool, small while hundreds run, so that memory stays flat.

const bytesTotal = 32 << 20;
const bytesMin = 32 << 10;
const bytesMax = 512 << 10;

export class StreamBudget {
  #active = 0;

  /** A share for one stream, until it is released; releasing twice is harmless. */
  take(): { bytes: number; release: () => void } {
    this.#active++;
    let taken = true;
    const release = (): void => {
      if (taken) this.#active--;
      taken = false;
    };
    const fair = Math.floor(bytesTotal / this.#active / 2);
    const rounded = 2 ** Math.floor(Math.log2(fair));
    return { bytes: Math.min(bytesMax, Math.max(bytesMin, rounded)), release };
  }
}
