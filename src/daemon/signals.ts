// Signals of the daemon: SIGTERM and SIGINT stop it in order, a third one at once; SIGHUP reloads
// the configuration; SIGUSR1 writes down what the daemon is doing.

import type { Logger } from "../base/index.ts";

const FORCE_AFTER_SIGNALS = 3;

/** To be called first thing: until somebody listens, Node takes SIGUSR1 for the wish to be debugged
 * and opens a port for that. */
export function onDumpSignal(dump: () => Promise<unknown>, log: Logger): void {
  process.on("SIGUSR1", () => {
    dump().catch((error: unknown) => log.error("Failed to write a dump", { error }));
  });
}

/** To be called first thing, too: what comes while the daemon starts (a reload from a package's
 * script, a restart policy that fails) must not end it. */
export class EarlySignals {
  #isWanted = false;
  #reload: (() => void) | undefined;

  constructor(log: Logger) {
    process.on("SIGHUP", () => {
      if (this.#reload) this.#reload();
      else this.#isWanted = true;
    });
    // Whoever read the log may go away (`gantry daemon 2>&1 | head`); the containers may not.
    for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
    process.on("unhandledRejection", (error) => log.error("Unhandled rejection", { error }));
  }

  /** From now on a signal calls it, and so does one that has come before. */
  serve(reload: () => void): void {
    this.#reload = reload;
    if (this.#isWanted) reload();
  }
}

/** The last file that was written is the one in force: a signal that comes while a file is read
 * has it read once more afterwards. */
function oneAtATime(onReload: () => Promise<void>, log: Logger): () => void {
  let isRunning = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      await onReload().catch((error: unknown) =>
        log.error("Failed to reload the configuration", { error }),
      );
    }
    isRunning = false;
  };
  return () => {
    isWanted = true;
    if (!isRunning) void run();
  };
}

/** Resolves with the first signal that asks to stop. */
export function awaitShutdown({
  log,
  early,
  onReload,
}: {
  log: Logger;
  early: EarlySignals;
  onReload: () => Promise<void>;
}): Promise<string> {
  early.serve(oneAtATime(onReload, log));
  return new Promise((resolve) => {
    let received = 0;
    const stop = (signal: string): void => {
      received++;
      resolve(signal);
      if (received < FORCE_AFTER_SIGNALS) return;
      log.warn("Forcing shutdown: containers were not stopped in order");
      process.exit(128 + (signal === "SIGINT" ? 2 : 15));
    };
    process.on("SIGTERM", () => stop("terminated"));
    process.on("SIGINT", () => stop("interrupt"));
  });
}
