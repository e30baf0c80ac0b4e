// The entry that is bundled, and that a warm process starts from.

import { main } from "./main.ts";
import { plainIo } from "./plain-io.ts";
import { startDaemon } from "./start-daemon.ts";

const [, , first, , path] = process.argv;
if (first === "--gantry-warm" && path !== undefined) {
  void import("./warm/server.ts").then(({ serveWarm }) => serveWarm(path));
} else {
  void main(plainIo(process.argv.slice(2)), { startDaemon }).then((code) => process.exit(code));
}
