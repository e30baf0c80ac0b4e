// Waits that end: what does not come within a minute (a slow machine has it in seconds) fails the
// test and says what was waited for, so that what the test holds is let go of.

import { setTimeout as delay } from "node:timers/promises";

export const DEADLINE_MS = process.env["GANTRY_VM"] ? 300_000 : 60_000; // emulated processors are slow
const POLL_MS = 10;

/** The promise's result, or an error that names `what`. */
export async function within<T>(what: () => string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited in vain for ${what()}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when `met` says so, which is asked again and again: for what tells no event. */
export async function until(what: string, met: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while (!(await met())) {
    if (performance.now() > end) throw new Error(`Waited in vain for ${what}`);
    await delay(POLL_MS);
  }
}
