// The entry of gantry-runtime's TypeScript: one call over fd 3, or a warm process for many.

import { Socket } from "node:net";
import { serveOneCall, serveWarm } from "../warm/index.ts";
import { leaveCgroups } from "./leave-cgroups.ts";
import { serve } from "./main.ts";

const [, , first, , path] = process.argv;
if (first === "--gantry-warm" && path !== undefined) {
  serveWarm(path, { serve, preload: leaveCgroups });
} else void serveOneCall(new Socket({ fd: 3 }), { serve }).then(() => process.exit(0));
