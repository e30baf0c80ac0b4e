// A disk that is full is the user's to repair, whatever was being done when it was met: which file
// system it is, and what makes room, is said with every such error.

import { adviceOf, errnoOf, GantryError, messageOf, withAdvice } from "../base/index.ts";
import type { EngineDoors } from "../engine/index.ts";

/** Throws the error with advice where it comes of a full disk, or as it is. */
export async function explainFullDisk(engine: EngineDoors, error: unknown): Promise<never> {
  const errno = errnoOf(error) ?? "";
  const isFull = errno === "ENOSPC" || errno === "EDQUOT";
  if (!isFull || adviceOf(error) !== undefined) throw error;
  const own = error instanceof GantryError ? error : undefined;
  const known = own ?? new GantryError("exhausted", messageOf(error), { cause: error });
  const advice = await engine.system.adviseFullDisk().catch(() => undefined);
  throw withAdvice(known, advice);
}
