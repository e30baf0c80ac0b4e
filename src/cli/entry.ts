// The entry that is bundled, and that a warm process starts from.

import { serveWarm } from "../warm/index.ts";
import { main, needsOwnProcess } from "./main.ts";
import { plainIo } from "./plain-io.ts";
import { startDaemon } from "./start-daemon.ts";

const [, , first, , path] = process.argv;
if (first === "--gantry-warm" && path !== undefined) {
  serveWarm(path, {
    serve: (call) => main(call, { startDaemon }),
    declines: needsOwnProcess,
    preload,
  });
} else {
  void main(plainIo(process.argv.slice(2)), { startDaemon }).then((code) => process.exit(code));
}

/** The commands that people wait for. */
function preload(): Promise<unknown> {
  return Promise.all([
    import("./commands/container/run.ts"),
    import("./commands/container/exec.ts"),
    import("./commands/container/ls.ts"),
    import("../template/index.ts"),
  ]);
}
