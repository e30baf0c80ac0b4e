// Goes on until it is done: a resident helper that could not be started again just now (no memory,
// no processes left) is started when the machine can.

import { setTimeout as delay } from "node:timers/promises";

const FIRST_DELAY_MS = 100;
const DELAY_MS_MAX = 30_000;

/** Does `work` until it succeeds or is not needed any more; waits longer after each failure. */
export async function persist(
  work: () => Promise<void>,
  { isNeeded, failed }: { isNeeded: () => boolean; failed: (error: unknown) => void },
): Promise<void> {
  for (let pause = FIRST_DELAY_MS; isNeeded(); pause = Math.min(2 * pause, DELAY_MS_MAX)) {
    try {
      await work();
      return;
    } catch (error) {
      failed(error);
      await delay(pause, undefined, { ref: false });
    }
  }
}
