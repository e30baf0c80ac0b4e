// npm run coverage:oci: which rows of the OCI runtime's table no test proves; see
// docs/internals/coverage.md. The last line is `N of M, K refused with a reason`.
//
//   tools/coverage-oci.ts [--strict] [--all] [--refresh]

import { parseArgs } from "node:util";
import { refreshCopies } from "./coverage/facts.ts";
import { finish } from "./coverage/finish.ts";
import { ociRows, readClaims, unknownClaims } from "./coverage/oci-rows.ts";

const { values } = parseArgs({
  options: {
    strict: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    refresh: { type: "boolean", default: false },
  },
});
if (values.refresh) refreshCopies();
const claims = readClaims();
const unknown = unknownClaims(claims);
for (const claim of unknown) process.stdout.write(`unknown\t${claim}\n`);
const code = finish(ociRows(claims), /^oci /, values);
process.exitCode = values.strict && unknown.length > 0 ? 1 : code;
