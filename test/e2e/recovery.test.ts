// kill -9 of the daemon, at rest and in the middle of work: what runs goes on running with its logs
// whole, what ended meanwhile is known with the right code, what was half made is gone.

import assert from "node:assert/strict";
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("a daemon that is killed comes back to its containers", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const started = (...args: string[]) => ok("run", "-d", "--network", "none", ...args);
  const says = (id: string, text: string) => daemon.session("logs", "-f", id).until(text);
  const restart = () => daemon.restart("SIGKILL");

  test("a running container goes on, with its process, log and attach", async () => {
    const id = await started("-i", IMAGE, "signals");
    await says(id, "ready");
    const pid = await ok("inspect", "-f", "{{.State.Pid}}", id);
    await daemon.kill9();
    process.kill(Number(pid), "SIGUSR1");
    await daemon.start();
    assert.equal(
      await ok("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", id),
      `running ${pid}`,
    );
    const attached = daemon.session("attach", "--no-stdin", id);
    const logs = daemon.session("logs", "-f", id);
    await logs.until("signal 10");
    await ok("kill", "-s", "USR2", id);
    await logs.until("signal 12");
    assert.equal((await daemon.client(["exec", id, "exit", "3"])).code, 3);
    await ok("stop", id);
    assert.equal(await attached.exitCode(), 0);
    assert.equal(await ok("logs", id), "ready\nsignal 10\nsignal 12\nsignal 15");
    await ok("rm", id);
  });

  test("an exit in between is known with its code", async () => {
    const id = await started(IMAGE, "signals");
    await says(id, "ready");
    const pid = Number(await ok("inspect", "-f", "{{.State.Pid}}", id));
    const killed = await started(IMAGE, "sleep");
    const other = Number(await ok("inspect", "-f", "{{.State.Pid}}", killed));
    await daemon.kill9();
    process.kill(pid, "SIGTERM");
    process.kill(other, "SIGKILL");
    await delay(300);
    await daemon.start();
    assert.equal(await ok("wait", id, killed), "0\n137");
    const format = "{{.State.Status}} {{.State.ExitCode}}";
    assert.equal(await ok("inspect", "-f", format, id), "exited 0");
    assert.equal(await ok("inspect", "-f", format, killed), "exited 137");
    await ok("rm", id, killed);
  });

  test("a log that grows meanwhile is complete", async () => {
    const id = await started(IMAGE, "lines", "60", "20");
    await daemon.kill9();
    await delay(300);
    await daemon.start();
    assert.equal(await ok("wait", id), "0");
    assert.equal((await ok("logs", id)).split("\n").length, 60);
    await ok("rm", id);
  });

  test("a container with --restart is started again, one that was stopped is not", async () => {
    const always = await started("--restart", "always", IMAGE, "sleep");
    const stopped = await started("--restart", "unless-stopped", IMAGE, "sleep");
    await ok("stop", stopped);
    const pid = Number(await ok("inspect", "-f", "{{.State.Pid}}", always));
    await daemon.kill9();
    process.kill(pid, "SIGKILL");
    await delay(200);
    await daemon.start();
    const status = (id: string) => ok("inspect", "-f", "{{.State.Status}}", id);
    for (let n = 0; n < 300 && (await status(always)) !== "running"; n++) await delay(100);
    assert.equal(await status(always), "running");
    assert.equal(await status(stopped), "exited");
    await ok("rm", "-f", always, stopped);
  });

  test("killed in the middle of many runs, it leaves no half-made container", async () => {
    for (let round = 0; round < 3; round++) {
      const flags = ["run", "-d", "--network", "none", IMAGE, "sleep"];
      const clients = Array.from({ length: 6 }, () => daemon.client(flags));
      await delay(30 + round * 60);
      await restart();
      await Promise.all(clients);
      const all = (await ok("ps", "-aq")).split("\n").filter((id) => id !== "");
      for (const id of all) {
        const status = await ok("inspect", "-f", "{{.State.Status}}", id);
        assert.ok(["running", "created", "exited"].includes(status), status);
        if (status !== "running") await ok("start", id);
      }
      if (all.length > 0) await ok("rm", "-f", ...all);
    }
  });

  test("what an image bootstrap left when it was cut short is removed", async () => {
    const folder = join(daemon.folder, "data", "bootstrap", "apt-cut");
    await mkdir(folder, { recursive: true });
    const base = await started(IMAGE, "sleep");
    const image = await ok("commit", base);
    const id = await started("-v", `${folder}:/mnt:ro`, image, "sleep");
    await restart();
    assert.equal(await ok("ps", "-aq", "--no-trunc"), base);
    assert.notEqual((await daemon.client(["inspect", id])).code, 0);
    assert.notEqual((await daemon.client(["inspect", image])).code, 0);
    await assert.rejects(access(folder), { code: "ENOENT" });
    await ok("rm", "-f", base);
  });

  test("a polite stop and start keeps what runs, too", async () => {
    const id = await started(IMAGE, "sleep");
    await daemon.restart("SIGTERM");
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", id), "running");
    await ok("rm", "-f", id);
  });
});
