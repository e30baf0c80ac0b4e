// The scenarios of logs through our own client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
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
});

const lastWord = (text: string): string => text.split(/\s/).at(-1)!;
