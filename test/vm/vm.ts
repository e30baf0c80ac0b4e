// npm run test:vm: runs the tests of test/vm/guest (or the files given) inside a virtual machine
// with cgroup v2 and Debian's kernel. The last line is that of the run inside.

import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bootVm } from "./boot.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const named = process.argv.slice(2);
const files =
  named.length > 0
    ? named
    : globSync(["test/vm/guest/*.test.ts", "test/e2e/isolation.test.ts"], { cwd: root }).sort();

// Compiled here: in the machine, whose processor is emulated, it would take minutes.
execFileSync(process.execPath, ["tools/build-native.ts"], { cwd: root, stdio: "inherit" });

const quoted = files.map((file) => `'${file.replaceAll("'", "")}'`).join(" ");
const command = [
  `cd '${root}'`,
  "export TMPDIR=/var/tmp",
  `exec '${process.execPath}' --disable-warning=ExperimentalWarning tools/test.ts ${quoted}`,
].join("\n");

process.exitCode = await bootVm({ command, onOutput: (text) => process.stdout.write(text) });
