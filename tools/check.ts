// Every static check in one command: types, lint and format, layers, generated files. Seconds.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const checks: [name: string, command: string, args: string[]][] = [
  ["types", "node_modules/.bin/tsc", ["-p", "."]],
  ["types of the web pages", "node_modules/.bin/tsc", ["-p", "web"]],
  ["lint and format", "node_modules/.bin/biome", ["check", "--error-on-warnings", "."]],
  ["layers and style", process.execPath, ["--test", "--test-reporter=dot", "test/tidy/*.test.ts"]],
];

const results = await Promise.all(
  checks.map(async ([name, command, args]) => {
    let output = "";
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    const code = await new Promise((resolve) => child.on("close", resolve));
    return { name, code, output };
  }),
);
for (const { name, code, output } of results) {
  if (code !== 0) process.stdout.write(`${name}: failed\n${output}\n`);
}
const failed = results.filter(({ code }) => code !== 0).length;
process.stdout.write(`${checks.length - failed} of ${checks.length} checks passed\n`);
process.exitCode = failed === 0 ? 0 : 1;
