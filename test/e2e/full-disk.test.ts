// A node whose data root is full: what runs goes on, what cannot be done says which folder is full,
// a restart is survived, whatever makes room can be removed, and once there is room again all is
// well without another restart.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { payloadProgram } from "../payload/payload.ts";
import { IMAGE, TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

const net = ["--network", "none"];
const STATUS = ["inspect", "-f", "{{.State.Status}}"];
const TURNS = 1200;

for (const kind of ["blocks", "inodes"] as const) {
  describe(`a data root without ${kind}`, { skip: whyNoDaemon() }, () => {
    let daemon: TestDaemon;
    let data: string;
    before(async () => {
      const folder = await mkdtemp(join(tmpdir(), "gantry-e2e-"));
      daemon = new TestDaemon(folder, await payloadProgram(), {});
      data = join(folder, "data");
      await mkdir(data);
      await daemon.hold();
      const { code, stderr } = await inside(
        ...["mount", "-t", "tmpfs", "-o", "size=32m,nr_inodes=600", "tmpfs", data],
      );
      assert.equal(code, 0, stderr);
      await daemon.start();
      await daemon.importPayload();
    });
    after(async () => {
      await empty();
      const ids = (await daemon.ok("ps", "-aq")).split("\n").filter((id) => id !== "");
      if (ids.length > 0) await daemon.ok("rm", "-f", ...ids);
      await daemon.kill9();
      await inside("umount", "-l", data);
      await daemon.stop();
    });

    const inside = (...command: string[]) =>
      run("nsenter", ["-t", String(daemon.holderPid), "-m", "-n", ...command]);
    const shell = (text: string) => inside("sh", "-c", text);
    const fill = () =>
      kind === "blocks"
        ? shell(
            `dd if=/dev/zero of=${data}/FILL.$$ bs=64k; dd if=/dev/zero of=${data}/FILL2.$$ bs=1k`,
          )
        : shell(`mkdir -p ${data}/FILL; i=0; while : > ${data}/FILL/$$.$i; do i=$((i+1)); done`);
    const empty = () => shell(`rm -rf ${data}/FILL*`);
    const ok = (...args: string[]) => daemon.ok(...args);
    async function refused(...args: string[]): Promise<void> {
      const { code, stderr } = await daemon.client(args);
      assert.notEqual(code, 0, args.join(" "));
      assert.match(stderr, /no space left on device/i, args.join(" "));
      assert.ok(stderr.includes(`file system of ${data} is full`), `${args.join(" ")}: ${stderr}`);
    }
    async function becomes(name: string, wanted: RegExp): Promise<void> {
      let status = "";
      for (let turn = 0; turn < TURNS && !wanted.test(status); turn++) {
        status = await ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);
        if (!wanted.test(status)) await delay(50);
      }
      assert.match(status, wanted, name);
    }

    test("refuses what needs room, and goes on with the rest", async () => {
      await ok("run", "-d", "--name", "stays", ...net, IMAGE, "sleep");
      await ok("run", "-d", "--name", "ends", ...net, IMAGE, "sleep");
      await ok("create", "--name", "idle", ...net, IMAGE, "true");
      await ok("volume", "create", "vol");
      await ok("network", "create", "n");
      await ok("tag", IMAGE, "other");
      await fill();
      await refused("create", "--name", "another", ...net, IMAGE, "true");
      await refused("commit", "stays", "made");
      assert.equal(await ok("exec", "stays", "echo", "hi"), "hi");
      await ok("stop", "-t", "0", "ends");
      const all = await ok("ps", "-a", "--format", "{{.Names}} {{.State}}");
      assert.deepEqual(all.split("\n").sort(), ["ends exited", "idle created", "stays running"]);
      assert.ok(!(await ok("images", "-a")).includes("made "), "nothing half-made is to be seen");
    });

    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      test(`is started on again after ${signal}`, async () => {
        await fill();
        await daemon.restart(signal);
        await fill();
        assert.equal(await ok(...STATUS, "stays"), "running");
        assert.equal(await ok("exec", "stays", "echo", "hi"), "hi");
        assert.equal(await ok(...STATUS, "ends"), "exited");
      });
    }

    test("lets go of everything that takes room, however often others take it", async () => {
      for (const args of [
        ["rm", "idle"],
        ["rm", "-f", "ends"],
        ["volume", "rm", "vol"],
        ["network", "rm", "n"],
        ["rmi", "other"],
      ]) {
        await fill();
        await ok(...args);
      }
      assert.equal(await ok("ps", "-a", "--format", "{{.Names}}"), "stays");
      assert.equal(await ok("volume", "ls", "-q"), "");
      assert.ok(!(await ok("network", "ls", "--format", "{{.Name}}")).split("\n").includes("n"));
    });

    test("works again as soon as there is room, and restart policies go on by themselves", async () => {
      await empty();
      const words = ["--restart", "always", ...net, IMAGE, "signals"];
      await ok("run", "-d", "--name", "policy", ...words);
      await becomes("policy", /^running/);
      await fill();
      const pid = Number(await ok("inspect", "-f", "{{.State.Pid}}", "policy"));
      process.kill(pid, "SIGKILL");
      if (kind === "blocks") await becomes("policy", /^restarting 128/);
      await empty();
      await becomes("policy", /^running/);
      assert.equal(await ok("run", "--rm", ...net, IMAGE, "echo", "again"), "again");
      await ok("volume", "create", "vol");
      await ok("network", "create", "n");
      await ok("commit", "stays", "made");
      await ok("network", "rm", "n");
      const log = readFileSync(join(daemon.folder, "daemon.log"), "utf8");
      assert.doesNotMatch(log, /Unhandled rejection/);
    });
  });
}
