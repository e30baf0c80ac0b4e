// npm run coverage:api: what of Docker's HTTP API is missing, row by row; see
// docs/internals/coverage.md. The last line is `N of M, K refused with a reason`.
//
//   tools/coverage-api.ts [--strict] [--all] [--refresh] [--record]

import { parseArgs } from "node:util";
import { apiRows } from "./coverage/api-rows.ts";
import { refreshCopies } from "./coverage/facts.ts";
import { finish } from "./coverage/finish.ts";

const { values } = parseArgs({
  options: {
    strict: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    refresh: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  },
});
if (values.refresh) refreshCopies();
if (values.record) {
  const { record } = await import("./coverage/record.ts");
  await record();
}
process.exitCode = finish(apiRows(), /^[A-Z]+ \//, values);
