// Commands as data: usage line, flags, rule for arguments, and the function that does the work.

import { type FlagSpecs, GantryError, type ParsedFlags } from "../base/index.ts";
import type { Session } from "./session.ts";

export interface ArgumentRule {
  min: number;
  max?: number;
}

export interface Command<S extends FlagSpecs = FlagSpecs> {
  /** What follows the command's name: "[OPTIONS] CONTAINER [CONTAINER...]". */
  usage: string;
  short: string;
  /** A longer text for help, instead of `short`. */
  long?: string;
  /** Every spelling, as help shows them: "container rm, container remove, rm". */
  spellings?: readonly string[];
  flags: S;
  args: ArgumentRule;
  /** The first argument ends the flags: what follows belongs to the container's command. */
  stopAtArgument?: boolean;
  examples?: string;
  /** Returns the exit code; nothing means 0. */
  run(session: Session, flags: ParsedFlags<S>): Promise<number | undefined>;
}

/** Keeps the types of a command's flags for its run function. */
export function defineCommand<const S extends FlagSpecs>(command: Command<S>): Command<S> {
  return command;
}

/** A failure with an exit code of its own. */
export function exitError(
  exitCode: number,
  message: string,
  { cause, help = false }: { cause?: unknown; help?: boolean } = {},
): GantryError {
  return new GantryError("invalid", message, { cause, detail: { exitCode, help } });
}
