// The displays of a build's progress behind one interface, and which of them a mode means.

import type { Io } from "../../../io.ts";
import type { Status } from "./status.ts";
import { Trace } from "./trace.ts";

export interface Display {
  readonly trace: Trace;
  update(status: Status): void;
  /** Shows what is still to be shown. */
  finish(): void;
}

class SilentDisplay implements Display {
  readonly trace = new Trace();
  update(status: Status): void {
    this.trace.update(status);
  }
  finish(): void {}
}

export type ProgressMode = "auto" | "none" | "plain" | "quiet" | "rawjson" | "tty";

/** "auto" is a terminal's display where there is one; BUILDKIT_PROGRESS may say otherwise. */
export async function openDisplay(
  io: Io,
  mode: ProgressMode,
  title = "Building",
): Promise<Display> {
  switch (resolvedMode(io, mode)) {
    case "rawjson":
      return new (await import("./rawjson.ts")).RawJsonDisplay(io.stderr);
    case "plain":
      return new (await import("./plain.ts")).PlainDisplay(io.stderr);
    case "tty":
      return new (await import("./tty.ts")).TtyDisplay(io, title);
    default:
      return new SilentDisplay();
  }
}

export function resolvedMode(io: Io, given: ProgressMode): ProgressMode {
  const wish = given === "auto" ? ((io.env["BUILDKIT_PROGRESS"] ?? "auto") as ProgressMode) : given;
  if (wish !== "auto") return wish;
  const isSmart = io.stderr.isTerminal && io.env["TERM"] !== "dumb";
  return isSmart && io.windowSize() !== undefined ? "tty" : "plain";
}
