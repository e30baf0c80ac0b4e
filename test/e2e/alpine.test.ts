// A real system, as a person uses it: Alpine's own root file system, where its archive is at hand.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const archive = join(root, "../shared/images/alpine-minirootfs-3.20.3-x86_64.tar.gz");
const skip = whyNoDaemon() || (!existsSync(archive) && "needs Alpine's archive");
const ALPINE = "alpine:3.20";

for (const client of ["docker", "gantry"] as const) {
  describe(`a real system through ${client}`, { skip }, () => {
    let daemon: TestDaemon;
    before(async () => {
      daemon = await startDaemon({ bare: true, client });
      await daemon.ok("import", archive, ALPINE);
    });
    after(() => daemon.stop());

    test("ps shows only the container's processes", async () => {
      const lines = (await daemon.ok("run", "--rm", ALPINE, "ps", "-o", "pid,args")).split("\n");
      assert.deepEqual(lines.slice(1), ["    1 ps -o pid,args"]);
    });

    test("a shell on a terminal: prompt, size, job control, exit code", async () => {
      const args = ["run", "-it", "--rm", ALPINE, "sh"];
      const shell = daemon.terminal(args, { rows: 30, columns: 100 });
      await shell.until("/ # ");
      shell.write("stty size\r");
      await shell.until("30 100");
      shell.write("echo going; sleep 100\r");
      await shell.until("\r\ngoing\r\n");
      shell.write("\x03");
      await shell.until(/going\r\n\^C\r\n.*# /);
      shell.write("echo status $?\r");
      await shell.until("status 130");
      shell.write("exit 7\r");
      assert.equal(await shell.exitCode(), 7);
    });

    test("users, permissions and packages' files are as the archive has them", async () => {
      const script = "id -u nobody; stat -c '%a %U' /etc/shadow /tmp; ls -l /bin/ls | cut -c1-10";
      const text = await daemon.ok("run", "--rm", ALPINE, "sh", "-c", script);
      assert.equal(text, "65534\n640 root\n1777 root\nlrwxrwxrwx");
    });

    test("the container reaches its gateway and resolves its own name", async () => {
      const script = "ping -c 1 -W 2 $(ip route | awk '/default/{print $3}') && ping -c 1 box";
      const text = await daemon.ok("run", "--rm", "-h", "box", ALPINE, "sh", "-c", script);
      assert.match(text, /(1 packets received(.|\n)*){2}/);
    });

    test("save and load keep what it is", async () => {
      const id = await daemon.ok("images", "-q", "--no-trunc");
      const file = join(daemon.folder, "alpine.tar");
      await daemon.ok("save", "-o", file, ALPINE);
      await daemon.ok("rmi", ALPINE);
      await daemon.ok("load", "-i", file);
      assert.equal(await daemon.ok("images", "-q", "--no-trunc"), id);
      assert.equal(await daemon.ok("run", "--rm", ALPINE, "cat", "/etc/alpine-release"), "3.20.3");
    });
  });
}
