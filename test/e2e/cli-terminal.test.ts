// What our client shows on a real terminal, and what it does not show elsewhere; trees and tops of
// a daemon with containers in it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("the command line on a terminal and elsewhere", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    const net = ["--network", "none"];
    await daemon.ok("run", "-d", "--name", "web", "-m", "64m", ...net, IMAGE, "sleep");
    const shared = ["--network", "container:web"];
    await daemon.ok("run", "-d", "--name", "side", ...shared, IMAGE, "sleep");
  });
  after(async () => {
    await daemon.client(["rm", "-f", "web", "side"]);
    await daemon.stop();
  });

  test("tables have colours and fit on a terminal, and are plain in a pipe", async () => {
    const shown = daemon.terminal(["ps"], { columns: 70 });
    assert.equal(await shown.exitCode(), 0);
    assert.match(shown.text, /\x1b\[32mUp /);
    const plain = await daemon.ok("ps");
    assert.ok(!plain.includes("\x1b"));
    assert.match(plain, /^CONTAINER ID {3}IMAGE /);
  });

  test("a container that shares another's network is beneath it", async () => {
    assert.match(await daemon.ok("ps", "--tree"), /^web .*\n└─ side /m);
  });

  test("cgls shows groups, limits and processes; cgtop shows them by use", async () => {
    const tree = await daemon.ok("cgls");
    assert.match(tree, /web {2}[0-9a-f]{12} .*\/ 64MiB/);
    assert.match(tree, /─ \d+ .*sleep/);
    const answer = JSON.parse(await daemon.ok("cgls", "--format", "json", "web"));
    assert.equal(answer.Groups[0].Container.Name, "web");
    assert.equal(answer.Groups[0].Memory.LimitBytes, 64 << 20);
    const top = await daemon.ok("cgtop", "--format", "{{.Name}} {{.PIDs}}", "--sort", "name");
    assert.deepEqual(top.split("\n"), ["side 1", "web 1"]);
    const { code, stderr } = await daemon.client(["cgls", "nobody"]);
    assert.equal(code, 1);
    assert.match(stderr, /No running container: nobody/);
  });

  test("cgtop on a terminal goes on until Ctrl-C, and leaves the cursor visible", async () => {
    const live = daemon.terminal(["cgtop", "--interval", "100ms"], { columns: 120 });
    await live.until(/web[\s\S]*web[\s\S]*web/);
    live.write("\x03");
    await live.exitCode();
    assert.ok(live.text.lastIndexOf("\x1b[?25h") > live.text.lastIndexOf("\x1b[?25l"));
  });

  test("a name that is nearly right is guessed, from what the daemon has", async () => {
    const { code, stderr } = await daemon.client(["stop", "wbe"]);
    assert.equal(code, 1);
    assert.equal(stderr, "Error response from daemon: No such container: wbe\nDid you mean web?\n");
  });
});
