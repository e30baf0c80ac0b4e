// How a test says which rows of the OCI runtime's table it proves (docs/internals/coverage.md).
// `npm run coverage:oci` reads the calls in the sources: the arguments have to be plain strings.

import { ociRowNames } from "../../tools/coverage/oci-rows.ts";

const known = new Set(ociRowNames());

/**
 * Text for a test's title, of rows of one kind: proves("config", "process.cwd", "process.args[]"),
 * proves("runc-cmd", "exec", "exec --cwd"). Throws on a row that the table does not have.
 */
export function proves(kind: string, ...names: string[]): string {
  for (const name of names) {
    if (!known.has(`${kind} ${name}`)) throw new Error(`The table has no row ${kind} ${name}`);
  }
  return `[${kind} ${names.join(", ")}]`;
}
