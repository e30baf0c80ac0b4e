// Docker's CLI plugins: found, asked who they are, put in our place, asked for completions.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../e2e/process.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-plugins-"));
const entry = fileURLToPath(new URL("../../bin/gantry.ts", import.meta.url));
const METADATA = '{"SchemaVersion":"0.1.0","Vendor":"v","ShortDescription":"Says hi"}';

before(() => {
  mkdirSync(join(folder, "cli-plugins"));
  const plugin = (name: string, text: string) => {
    const path = join(folder, "cli-plugins", `docker-${name}`);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
  };
  const answers =
    `case $1 in docker-cli-plugin-metadata) echo '${METADATA}'; exit;;\n` +
    `__complete) printf 'there\\twho\\n:4\\n'; exit;; esac`;
  plugin("hi", `${answers}\necho "[$*] $DOCKER_HOST"; exit 9`);
  plugin("stranger", "echo ran anyway");
});
after(() => rmSync(folder, { recursive: true, force: true }));

function gantry(...args: string[]) {
  const env = { DOCKER_CONFIG: folder, DOCKER_HOST: "", DOCKER_CONTEXT: "" };
  return run(process.execPath, ["--disable-warning=ExperimentalWarning", entry, ...args], { env });
}

test("a plugin gets the whole line and the daemon that we would use; its exit code is ours", async () => {
  const { code, stdout } = await gantry("--log-level", "debug", "hi", "a", "--b");
  assert.equal(code, 9);
  assert.equal(stdout, "[--log-level debug hi a --b] unix:///run/gantry.sock\n");
});

test("what does not say who it is is no plugin", async () => {
  const { code, stdout, stderr } = await gantry("stranger");
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /unknown command: gantry stranger/);
});

test("a plugin completes its own arguments, and is a command like others", async () => {
  assert.equal((await gantry("__complete", "hi", "")).stdout, "there\twho\n:4\n");
  assert.match((await gantry("__complete", "h")).stdout, /^hi$/m);
});
