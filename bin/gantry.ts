// The entry of plain Node: the daemon's verbs load the daemon, everything else is the client.

import { main } from "../src/cli/main.ts";
import { plainIo } from "../src/cli/plain-io.ts";

const argv = process.argv.slice(2);
if (argv[0] === "daemon" || argv[0] === "dockerd") {
  const { runDaemon } = await import("../src/daemon/main.ts");
  await runDaemon(argv.slice(1));
} else {
  process.exit(await main(plainIo(argv)));
}
