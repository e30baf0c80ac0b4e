// The entry that is bundled (tools/bundle-program.ts).

import { runRegistry } from "./main.ts";

process.exitCode = await runRegistry(process.argv.slice(2));
