// A warm client process from the sources; a bundle for the next start is made meanwhile.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

await import("../src/cli/entry.ts");
const bundler = fileURLToPath(new URL("../tools/bundle-cli.ts", import.meta.url));
spawn(process.execPath, ["--disable-warning=ExperimentalWarning", bundler], {
  stdio: "ignore",
}).unref();
