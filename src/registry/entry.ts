// The entry that is bundled (tools/bundle-program.ts).

import { runRegistry } from "./main.ts";

// At once: while Node winds down its signal handlers are gone, and a second SIGTERM kills.
process.exit(await runRegistry(process.argv.slice(2)));
