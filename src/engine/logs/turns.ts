// Work that may be long gives others their turn: between pieces of it, after so many milliseconds.

import { setImmediate as nextTurn } from "node:timers/promises";

const TURN_MS = 10;

export class Turns {
  #began = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#began > TURN_MS;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#began = performance.now();
  }
}
