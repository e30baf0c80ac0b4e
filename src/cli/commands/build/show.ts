// A build on the caller's terminal: opens the display, ends it whatever happens, and prints what
// belongs beneath it: warnings, or the report of a failure.

import { GantryError } from "../../../base/index.ts";
import type { Session } from "../../session.ts";
import { failedSteps, failureText, warningsText } from "./failure.ts";
import { type Display, openDisplay, type ProgressMode, resolvedMode } from "./progress/display.ts";

export interface Shown {
  display: Display;
  signal: AbortSignal;
  /** Takes what ends a failed build's connections; it is done after the report. */
  defer(close: () => void): void;
}

/** Runs `work`; a failure of the build is reported and thrown without a message. `failed` comes
 * after the report, while the daemon still keeps what failed. */
export async function showing<T>(
  session: Session,
  mode: ProgressMode,
  work: (shown: Shown) => Promise<T>,
  failed?: () => Promise<void>,
): Promise<T> {
  const { io } = session;
  const shown = resolvedMode(io, mode);
  const { signal, stop } = untilSignalled(session);
  const display = await openDisplay(io, shown);
  const deferred: (() => void)[] = [];
  try {
    const result = await work({ display, signal, defer: (close) => deferred.push(close) });
    display.finish();
    if (shown === "tty" || shown === "plain") {
      const expanded = session.globals.values.debug === true;
      io.stderr.write(warningsText(display.trace, { expanded }));
    }
    return result;
  } catch (error) {
    display.finish();
    if (shown !== "rawjson") io.stderr.write(failedSteps(display.trace));
    if (signal.aborted) {
      io.stderr.write("ERROR: failed to build: failed to solve: Canceled: context canceled\n");
      throw new GantryError("cancelled", "context canceled", { cause: error });
    }
    if (!isBuildFailure(error)) throw error;
    io.stderr.write(failureText(error));
    stop();
    await failed?.();
    throw new GantryError("internal", "", { cause: error });
  } finally {
    stop();
    for (const close of deferred) close();
  }
}

/** The daemon's answer, not a fault on the way to it. */
function isBuildFailure(error: unknown): error is GantryError {
  return error instanceof GantryError && error.detail["grpc"] !== undefined;
}

/** Passes the caller's signals on as one; the first asks the build to end, the second ends us. */
function untilSignalled(session: Session): { signal: AbortSignal; stop(): void } {
  const abort = new AbortController();
  let count = 0;
  const stop = session.io.onSignal((name) => {
    if (!["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"].includes(name)) return;
    if (++count > 1) void session.openedClient?.then((client) => client.cut());
    abort.abort(new GantryError("cancelled", "context canceled"));
  });
  return { signal: AbortSignal.any([session.io.signal, abort.signal]), stop };
}
