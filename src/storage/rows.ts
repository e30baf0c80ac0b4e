// The rows of a query as what its columns are. SQLite promises no types: the schema does, and the
// query beside the type that is named (database.ts); here is the one place where that is believed.

import type { DatabaseSync, SQLInputValue } from "node:sqlite";

/** All of them, at once. */
export function rowsOf<Row>(
  sql: DatabaseSync,
  query: string,
  ...values: readonly SQLInputValue[]
): Row[] {
  return sql.prepare(query).all(...values) as unknown as Row[];
}
