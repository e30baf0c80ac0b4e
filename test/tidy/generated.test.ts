// What is generated is checked in, so that a reader sees it; this test keeps it equal to its
// source.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./source-files.ts";

const generators = [
  "tools/gen-operations.ts",
  "tools/gen-buildkit.ts",
  "tools/gen-cli-reference.ts",
  "tools/gen-refused.ts",
];

for (const generator of generators) {
  const skip = !existsSync(join(root, generator));
  test(`what ${generator} writes is up to date`, { skip }, () => {
    const args = ["--disable-warning=ExperimentalWarning", generator, "--check"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root });
    assert.equal(status, 0, `run ${generator}:\n${stdout}${stderr}`);
  });
}
