// gantry network explain, as users meet it: one reason after another why nobody answers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("gantry network explain", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const explain = async (...args: string[]) => {
    const { code, stdout } = await daemon.client(["network", "explain", ...args]);
    return { code, stdout };
  };

  test("a port that answers is reachable, with the way to it", async () => {
    const id = await ok(
      "run",
      "-d",
      "--name",
      "web",
      "-p",
      "8080:80",
      IMAGE,
      "listen",
      "tcp",
      "80",
    );
    await daemon.session("logs", "-f", id).until("listening");
    const { code, stdout } = await explain("web", "80");
    assert.match(stdout, /ok {4}listener 80\/tcp +a process listens on/);
    assert.match(stdout, /ok {4}published +0\.0\.0\.0:8080\/tcp/);
    assert.match(stdout, /ok {4}forwarding +nftables table gantry_\w+ sends 0\.0\.0\.0:8080/);
    assert.match(stdout, /port 80\/tcp of web is reachable\n$/);
    assert.equal(code, 0);
    const found = JSON.parse((await explain("--format", "json", "web")).stdout);
    assert.equal(found.reachable, true);
    await ok("rm", "-f", id);
  });

  test("what nobody listens on, and what is not published, is said with its remedy", async () => {
    const id = await ok(
      "run",
      "-d",
      "--name",
      "deaf",
      "-p",
      "8081:81",
      IMAGE,
      "listen",
      "tcp",
      "80",
    );
    await daemon.session("logs", "-f", id).until("listening");
    const silent = await explain("deaf", "81");
    assert.equal(silent.code, 1);
    assert.match(silent.stdout, /BAD {3}listener 81\/tcp +nothing listens.*\n +→ .*\(80\)/);
    const shut = await explain("deaf", "80");
    assert.equal(shut.code, 1);
    assert.match(shut.stdout, /BAD {3}published .*\n +→ gantry update --publish-add/);
    await ok("rm", "-f", id);
  });

  test("a container that does not run, or has no network, is told so", async () => {
    await ok("create", "--name", "idle", "-p", "8082:80", IMAGE, "sleep", "60");
    const idle = await explain("idle");
    assert.equal(idle.code, 1);
    assert.match(
      idle.stdout,
      /BAD {3}container +the container idle does not run\n +→ gantry start/,
    );
    await ok("run", "-d", "--name", "lonely", "--network", "none", IMAGE, "sleep", "60");
    const lonely = await explain("lonely");
    assert.equal(lonely.code, 1);
    await ok("rm", "-f", "idle", "lonely");
    assert.match(
      (await daemon.client(["network", "explain", "nobody"])).stderr,
      /No such container/,
    );
  });
});
