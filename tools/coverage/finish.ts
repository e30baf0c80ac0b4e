// The end of both coverage tools: print the report, and fail where the caller asked for that.

import { staleCopies } from "./facts.ts";
import { type Row, readRefusals, report, summarise } from "./rows.ts";

/** `mine` tells the refusals of this tool's rows from the other's. Returns the exit code. */
export function finish(
  rows: readonly Row[],
  mine: RegExp,
  { strict, all }: { strict: boolean; all: boolean },
): number {
  for (const table of staleCopies()) {
    process.stderr.write(`docs/reference/facts/${table}.tsv is old: run with --refresh\n`);
  }
  const refusals = readRefusals().filter(({ pattern }) => mine.test(pattern));
  const summary = summarise(rows, refusals);
  process.stdout.write(`${report(summary, { all }).join("\n")}\n`);
  const open = summary.missing.length + summary.unchecked.length;
  return strict && open > 0 ? 1 : 0;
}
