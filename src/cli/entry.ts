// The entry that is bundled, and that a warm process starts from.

import { type CallIo, serveWarm } from "../warm/index.ts";
import { main, needsOwnProcess } from "./main.ts";
import { plainIo } from "./plain-io.ts";
import { startDaemon } from "./start-daemon.ts";

const [, , first, , path, , listening] = process.argv;
if (first === "--gantry-warm") {
  const serve = (call: CallIo) => main(call, { startDaemon });
  const program = { serve, declines: needsOwnProcess, preload };
  // A launcher that does not listen is of another build: its callers run plain Node.
  if (listening === "--listening") serveWarm(path!, program, { listening: 4 });
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
