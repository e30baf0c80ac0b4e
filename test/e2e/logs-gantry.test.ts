// The scenarios of logs through our own client.

import assert from "node:assert/strict";
import { existsSync, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until, within } from "../support/deadline.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { logScenarios } from "./scenarios/logs.ts";

const skip = whyNoDaemon();

describe("logs through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  logScenarios(() => daemon);

  test("--grep shows the lines that match, with --tail the last of them", async () => {
    const id = await daemon.ok("run", "-d", "--network", "none", IMAGE, "lines", "100");
    await daemon.ok("wait", id);
    assert.equal(await daemon.ok("logs", "--grep", "e .5$", id).then(lastWord), "95");
    assert.equal(await daemon.ok("logs", "--grep", "e .5$", "-n", "2", id), "line 85\nline 95");
    const { code, stderr } = await daemon.client(["logs", "--grep", "(", id]);
    assert.notEqual(code, 0);
    assert.match(stderr, /invalid pattern "\("/);
    await daemon.ok("rm", id);
  });

  test("a daemon that is killed while it compresses leaves nothing lost and nothing half done", async () => {
    const bytes = 48_000_000; // a file of 100 MB, which takes a moment
    const { id, folder } = await killedWhileCompressing(daemon, bytes);
    assert.equal(await daemon.ok("wait", id), "0");
    const names = async () => (await readdir(folder)).filter((name) => /\.\d{6}/.test(name)).sort();
    const isDone = async () =>
      (await names()).join() === `${id}-json.log.000001.zst,${id}-json.log.000002`;
    await until(`${folder} to be compressed`, isDone);
    const { stdout } = await daemon.client(["logs", id]);
    assert.equal(stdout.length, bytes);
    assert.ok(stdout.startsWith("0123456789") && stdout.endsWith("lmn\n"));
    assert.equal(new Set(stdout.trimEnd().split("\n")).size, 1, "a line is torn");
    await daemon.ok("rm", id);
  });

  test("how much logs take is told, with the budget that they have", async () => {
    const id = await daemon.ok("run", "-d", "--network", "none", IMAGE, "lines", "1000");
    await daemon.ok("wait", id);
    const shown = await daemon.ok("system", "df", "-v");
    assert.match(shown, /^Logs usage: [1-9][0-9.]*kB of [0-9.]+[GMT]?B \(log-budget\)$/m);
    await daemon.ok("rm", id);
  });
});

/** Held still while a rotated file is half compressed, then killed and started anew. */
async function killedWhileCompressing(daemon: TestDaemon, bytes: number) {
  for (let attempt = 1; ; attempt++) {
    const create = ["create", "--network", "none", IMAGE, "spam", String(bytes)];
    const id = await daemon.ok(...create);
    const folder = join(daemon.folder, "data/containers", id);
    const pid = await daemon.pid();
    const begun = Promise.withResolvers<string>();
    const watcher = watch(folder, (_, name) => {
      if (name?.endsWith(".zst.tmp")) begun.resolve(join(folder, name));
    });
    try {
      await daemon.ok("start", id);
      const temporary = await within(() => "a file that is being compressed", begun.promise);
      process.kill(pid, "SIGSTOP");
      const isHalf = existsSync(temporary);
      if (!isHalf) process.kill(pid, "SIGCONT");
      if (!isHalf && attempt < 5) continue; // it was faster
      assert.ok(isHalf, "it was never seen at work");
      await daemon.restart("SIGKILL"); // as it stands
      return { id, folder };
    } finally {
      watcher.close();
    }
  }
}

const lastWord = (text: string): string => text.split(/\s/).at(-1)!;
