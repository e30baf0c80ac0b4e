// What stands behind an error and what to do about it, beside the message, whose words clients
// search: the message stays as it is, and doors add these as lines of their own.

import { GantryError } from "./errors.ts";

export interface Advice {
  /** What is the case, as a sentence without a full stop. */
  cause?: string;
  /** What to do: one thing an entry. */
  remedy?: readonly string[];
}

/** The same error, with advice; what it had already is kept. */
export function withAdvice(error: GantryError, advice: Advice | undefined): GantryError {
  if (!advice || (!advice.cause && !advice.remedy?.length)) return error;
  const detail = { ...error.detail, advice: { ...adviceOf(error), ...advice } };
  const same = new GantryError(error.kind, error.message, { cause: error.cause, detail });
  if (error.stack !== undefined) same.stack = error.stack;
  return same;
}

export function adviceOf(error: unknown): Advice | undefined {
  if (!(error instanceof GantryError)) return undefined;
  return error.detail["advice"] as Advice | undefined;
}

/** The lines that follow a message. */
export function adviceLines({ cause, remedy = [] }: Advice): string[] {
  return [...(cause ? [`cause: ${cause}`] : []), ...remedy.map((line) => `remedy: ${line}`)];
}
