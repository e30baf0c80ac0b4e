// npm run coverage:cli: what of docker's command line is missing, command by command and flag by
// flag; see docs/internals/coverage.md. The last line is `N of M, K refused with a reason`.
//
//   tools/coverage-cli.ts [--strict] [--all] [--refresh]

import { parseArgs } from "node:util";
import { cliRows } from "./coverage/cli-rows.ts";
import { refreshCopies } from "./coverage/facts.ts";
import { finish } from "./coverage/finish.ts";

const { values } = parseArgs({
  options: {
    strict: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    refresh: { type: "boolean", default: false },
  },
});
if (values.refresh) refreshCopies();
process.exitCode = finish(await cliRows(), /^docker\b/, values);
