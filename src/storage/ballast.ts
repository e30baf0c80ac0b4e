// Room that is kept for a full disk: a file of zeros beside the database, of which a part is let go
// when what must be written finds no room, and which is laid down again as far as there is room.
// Let go as a whole, whoever writes next (a log, say) would have it: nothing could be removed then.

import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";

const BALLAST_BYTES = 512 << 10;
const STEP_BYTES = 64 << 10;
const ZEROS = Buffer.alloc(STEP_BYTES);

export class Ballast {
  #path: string;
  #isWhole = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Lets go of a part; false where nothing is left of it. */
  letGo(): boolean {
    this.#isWhole = false;
    try {
      return this.#with("r+", (file) => {
        const { size } = fstatSync(file);
        if (size > 0) ftruncateSync(file, Math.max(0, size - STEP_BYTES));
        return size > 0;
      });
    } catch {
      return false;
    }
  }

  /** Lays down what is missing, as far as the disk has room for it. */
  keep(): void {
    if (this.#isWhole) return;
    try {
      this.#with("a", (file) => {
        let { size } = fstatSync(file);
        while (size < BALLAST_BYTES) size += writeSync(file, ZEROS);
      });
      this.#isWhole = true;
    } catch {
      // The disk is full, or not to be written: at the next occasion, then.
    }
  }

  #with<T>(flags: string, work: (file: number) => T): T {
    const file = openSync(this.#path, flags, 0o600);
    try {
      return work(file);
    } finally {
      closeSync(file);
    }
  }
}
