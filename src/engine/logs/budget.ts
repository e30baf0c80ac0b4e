// How much all logs of a host may take together: what daemon.json says ("log-budget"), or a
// tenth of the file system, and no more than 10 GB.

import { statfs } from "node:fs/promises";

const BUDGET_BYTES_MAX = 10_000_000_000;
const SHARE = 10;

/** Bytes; 0 is no budget. */
export async function logBudget(asked: number | undefined, folder: string): Promise<number> {
  if (asked !== undefined) return asked;
  const { blocks, bsize } = await statfs(folder);
  return Math.min(BUDGET_BYTES_MAX, Math.floor((blocks * bsize) / SHARE));
}
