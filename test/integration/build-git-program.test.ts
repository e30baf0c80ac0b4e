// The git of a daemon that is killed: it and what it started end too.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { git } from "../../src/engine/build/contexts/git-program.ts";

const program = new URL("../../src/engine/build/contexts/git-program.ts", import.meta.url).href;
const skip = !["/usr/bin/git", "/bin/git"].some((path) => existsSync(path)) && "needs git";
const TURN_MS = 20;
const TURNS_MAX = 1000;

test("git and its children end with a daemon that was killed", { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "git-ends-"));
  try {
    const config = { "alias.wait": `!echo $$ > ${folder}/pid; exec sleep 300` };
    const script = `
      const { git } = await import(${JSON.stringify(program)});
      const { signal } = new AbortController();
      await git(["wait"], { signal, config: ${JSON.stringify(config)} });
    `;
    const daemon = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const said = () => readFile(join(folder, "pid"), "utf8").catch(() => "");
    await until(async () => (await said()).endsWith("\n"));
    const pid = Number(await said());
    assert.ok(existsSync(`/proc/${pid}`));
    daemon.kill("SIGKILL");
    await until(async () => !existsSync(`/proc/${pid}`));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** Nobody tells of either moment. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX; turn++) {
    if (await isSo()) return;
    await delay(TURN_MS);
  }
  assert.fail("it does not come to pass");
}

test("what git says and how it fails is passed on", { skip }, async () => {
  const { signal } = new AbortController();
  assert.match(await git(["--version"], { signal }), /^git version /);
  await assert.rejects(git(["no-such-verb"], { signal }), /is not a git command/);
});

test("a machine without git says what to do", async () => {
  const { signal } = new AbortController();
  const nowhere = git(["--version"], { signal, env: { PATH: "/nonexistent" } });
  await assert.rejects(nowhere, { kind: "unavailable", message: /install git/ });
});
