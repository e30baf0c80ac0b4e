// A warm client process from the sources, because they have changed: the bundle for the next start
// and the native program are brought up to date meanwhile, in a process of their own.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

await import("../src/cli/entry.ts");
const tools = ["build-native.ts", "bundle-cli.ts"].map((name) =>
  fileURLToPath(new URL(`../tools/${name}`, import.meta.url)),
);
runNext(tools);

function runNext([tool, ...rest]: string[]): void {
  if (tool === undefined) return;
  const args = ["--disable-warning=ExperimentalWarning", tool];
  const child = spawn(process.execPath, args, { stdio: "ignore" });
  child.once("exit", () => runNext(rest));
  child.once("error", () => {});
  child.unref();
}
