// Ports that a running container begins and ceases to publish, with our own client: no other
// engine's has the flags.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("published ports of a running container", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const answers = async (port: number): Promise<boolean> =>
    (await daemon.onHost("connect", "tcp", "127.0.0.1", String(port))).code === 0;

  test("ports come and go while it runs, and stay changed over restarts", async () => {
    const id = await ok("run", "-d", "-p", "8080:80", IMAGE, "listen", "tcp", "80");
    await daemon.session("logs", "-f", id).until("listening");
    await ok("update", "--publish-add", "8081:80", id);
    assert.deepEqual([await answers(8080), await answers(8081)], [true, true]);
    const pid = await ok("inspect", "-f", "{{.State.Pid}}", id);

    await ok("update", "--publish-rm", "8080:80", "--publish-add", "127.0.0.1:8082:80", id);
    assert.deepEqual(
      [await answers(8080), await answers(8081), await answers(8082)],
      [false, true, true],
    );
    assert.equal(await ok("inspect", "-f", "{{.State.Pid}}", id), pid, "it was not restarted");
    assert.match(await ok("port", id), /^80\/tcp -> 0\.0\.0\.0:8081\n/);

    await daemon.kill9();
    await daemon.start();
    assert.deepEqual([await answers(8080), await answers(8081)], [false, true]);
    await ok("restart", "-t", "0", id);
    await daemon.session("logs", "-f", id).until(/listening.*listening/s);
    assert.deepEqual(
      [await answers(8080), await answers(8081), await answers(8082)],
      [false, true, true],
    );
    await ok("update", "--publish-rm", "80", id);
    assert.deepEqual([await answers(8081), await answers(8082)], [false, false]);
    assert.equal(await ok("inspect", "-f", "{{json .HostConfig.PortBindings}}", id), "{}");
    await ok("rm", "-f", id);
  });

  test("what is not published, or taken already, is refused and changes nothing", async () => {
    const other = await ok("run", "-d", "-p", "8090:80", IMAGE, "sleep", "60");
    const id = await ok("run", "-d", "-p", "8091:80", IMAGE, "listen", "tcp", "80");
    await daemon.session("logs", "-f", id).until("listening");
    const taken = await daemon.client([
      "update",
      "--publish-add",
      "8092-8093:80-81",
      "--publish-add",
      "8090:82",
      id,
    ]);
    assert.match(taken.stderr, /Bind for 0\.0\.0\.0:8090 failed: port is already allocated/);
    const unknown = await daemon.client(["update", "--publish-rm", "9999:80", id]);
    assert.match(unknown.stderr, /does not publish 80\/tcp on :9999/);
    const twice = await daemon.client(["update", "--publish-add", "8091:81", id]);
    assert.match(twice.stderr, /port is already allocated/);
    const both = await daemon.client(["update", "--memory", "64m", "--publish-add", "8090:83", id]);
    assert.match(both.stderr, /port is already allocated/);
    assert.equal(await ok("inspect", "-f", "{{.HostConfig.Memory}}", id), "0");
    assert.deepEqual([await answers(8091), await answers(8092)], [true, false]);
    const again = await ok("run", "-d", "-p", "8092:80", IMAGE, "sleep", "60");
    await ok("rm", "-f", id, other, again);
  });

  test("a stopped container publishes at its next start", async () => {
    const id = await ok("create", IMAGE, "listen", "tcp", "80");
    await ok("update", "--publish-add", "8094:80", id);
    await ok("start", id);
    await daemon.session("logs", "-f", id).until("listening");
    assert.equal(await answers(8094), true);
    await ok("rm", "-f", id);
  });
});
