// The entry of gantry-runtime's TypeScript: one call over fd 3, a warm process for the many of
// fd 4, the first of which may come over fd 5, or the rehearsal of a new bundle.

import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { serveOneCall, serveWarm } from "../warm/index.ts";
import { leaveCgroups } from "./leave-cgroups.ts";
import { serve } from "./main.ts";

/** Not before the first call has its answer. */
const FLUSH_AFTER_MS = 500;

const [, , first, , path, , listening, call] = process.argv;
/** When it has resolved, what is compiled is worth keeping (tools/with-code-cache.ts). */
export let rehearsed: Promise<void> | undefined;
if (first === "--gantry-rehearsal") {
  rehearsed = import("./rehearsal.ts").then(({ rehearse }) => rehearse());
} else if (first === "--gantry-warm") {
  // A launcher that does not listen is of another build: its callers run plain Node.
  if (listening === "--listening") warm(path!);
} else void serveOneCall(new Socket({ fd: 3 }), { serve }).then(() => process.exit(0));

function warm(path: string): void {
  const caller = call === "--call" ? new Socket({ fd: 5 }) : undefined;
  serveWarm(path, { serve, preload: leaveCgroups }, { listening: 4, first: caller });
  // The next process finds the program compiled, even if this one is killed.
  setTimeout(flushCompileCache, FLUSH_AFTER_MS).unref();
}
