// Size limits through the stock client and through crashes: the daemon is killed while limited
// containers run and others begin and end. Limits hold afterwards, and nothing stays attached.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const tools = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"].some((path) => existsSync(path));
const able = tools && existsSync("/dev/loop-control");
const skip = whyNoDaemon() || (able ? false : "no loop devices, or no mkfs.ext4");
const net = ["--network", "none"];

describe("size limits through crashes", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({
      client: dockerPath ? "docker" : "gantry",
      args: ["--live-restore", "--storage-opt", "overlay2.size=24M"],
    });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);

  function attached(): string[] {
    return readdirSync("/sys/block").flatMap((name) => {
      const file = `/sys/block/${name}/loop/backing_file`;
      if (!name.startsWith("loop") || !existsSync(file)) return [];
      const path = readFileSync(file, "utf8").trimEnd();
      return path.includes(daemon.folder) ? [path] : [];
    });
  }

  async function nothingAttached(): Promise<void> {
    for (let i = 0; i < 1500 && attached().length > 0; i++) await delay(20);
    assert.deepEqual(attached(), []);
  }

  test("the default limit of the daemon holds, and a container may ask for another", async () => {
    const usual = await ok("run", "--rm", ...net, IMAGE, "fill", "/f");
    assert.match(usual, /^(1\d|2[0-4]) (ENOSPC|EDQUOT)$/);
    const more = ["--storage-opt", "size=64M", IMAGE, "fill", "/f"];
    assert.match(await ok("run", "--rm", ...net, ...more), /^([45]\d|6[0-4]) (ENOSPC|EDQUOT)$/);
    await nothingAttached();
  });

  test("a killed daemon leaves limits as they are and nothing attached for nobody", async () => {
    await ok("volume", "create", "-o", "size=24M", "crash");
    const mount = ["-v", "crash:/data"];
    await ok("run", "-d", "--name", "stays", ...net, ...mount, IMAGE, "sleep");
    for (let round = 0; round < 3; round++) {
      // Half-way through whatever they do when the daemon goes.
      const doomed = [0, 1, 2].map((n) =>
        daemon.client(["run", "--name", `r${round}-${n}`, ...net, ...mount, IMAGE, "true"]),
      );
      await delay(30 + 60 * round);
      await daemon.kill9();
      await Promise.all(doomed);
      await daemon.start();
      assert.equal(await ok("exec", "stays", "cat", "/data/seed"), "seed");
    }
    assert.match(await ok("exec", "stays", "fill", "/data/f"), /^(1\d|2[0-4]) (ENOSPC|EDQUOT)$/);
    const all = (await ok("ps", "-aq")).split("\n");
    await ok("rm", "-f", ...all);
    await ok("volume", "rm", "crash");
    await nothingAttached();
    const mounts = readFileSync(`/proc/${daemon.namespacesPid}/mountinfo`, "utf8");
    assert.ok(!mounts.includes(daemon.folder), "no mount is left");
  });
});
