// Escapes that wait for somebody to come in: while containers are started, entered and probed, a
// root inside looks at every new process for what it still has of the host (CVE-2016-9962,
// CVE-2019-5736, CVE-2024-21626), and what a process is given is checked from inside.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, test } from "node:test";
import type Docker from "dockerode";
import { root, whyNoDaemon } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { payloadRootfs } from "../payload/payload.ts";
import { allRefused, KINDS, Prison } from "./prison.ts";
import { securityProgram } from "./programs.ts";

const NATIVE = join(root, "native/build/gantry-native");
const EXECS = 25;

const digest = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

describe("escapes by those who come in", { skip: whyNoDaemon() }, () => {
  let prison: Prison;
  before(async () => {
    prison = await Prison.make();
  });
  after(() => prison?.[Symbol.asyncDispose]());

  /** Runs `work` while a container watches all who come; what it has found. */
  async function watched(
    host: Docker.HostConfig,
    work: (watcher: Docker.Container) => Promise<void>,
  ): Promise<[string, string][]> {
    const watcher = await prison.create(["attack", "watch", `${prison.outside}/secret`], host);
    try {
      const stream = await watcher.attach({ stream: true, stdout: true, stderr: true });
      const out = new PassThrough();
      watcher.modem.demuxStream(stream, out, out);
      stream.on("end", () => out.end());
      let text = "";
      const up = new Promise<void>((resolve, reject) => {
        out.on("data", (chunk) => {
          text += chunk;
          if (text.includes("watching")) resolve();
        });
        out.on("end", () => reject(new Error(`The watcher ended: ${text}`)));
      });
      const done = new Promise<void>((resolve) => out.on("end", () => resolve()));
      await watcher.start();
      await up;
      await work(watcher);
      await watcher.kill({ signal: "SIGTERM" });
      await done;
      const lines = text.trim().split("\n");
      return lines.map((line) => line.split("\t") as [string, string]);
    } finally {
      await watcher.remove({ force: true });
    }
  }

  function foundNothing(lines: [string, string][]): void {
    const [, seen = ""] = lines.find(([what]) => what === "seen") ?? [];
    assert.match(seen, /^[1-9]\d* processes/, "nobody was seen, so nothing was tried");
    assert.deepEqual(
      lines.filter(([what]) => /^[A-Z ]+$/.test(what)),
      [],
    );
  }

  for (const [kind, host] of [...KINDS, ["one that may trace", { CapAdd: ["SYS_PTRACE"] }]] as [
    string,
    Docker.HostConfig,
  ][]) {
    test(`an exec brings nothing of the host into ${kind}`, async () => {
      const before = await digest(NATIVE);
      const lines = await watched(host, async (watcher) => {
        for (let i = 0; i < EXECS; i++) {
          const result = await prison.exec(watcher, ["true"], i % 3 === 2 ? { Tty: true } : {});
          assert.equal(result.code, 0, result.output);
        }
      });
      foundNothing(lines);
      assert.equal(await digest(NATIVE), before);
    });
  }

  test("a container that joins a pid namespace shows nothing of the host to it", async () => {
    const lines = await watched({}, async (watcher) => {
      for (let i = 0; i < 8; i++) {
        const joined = await prison.run(["true"], { PidMode: `container:${watcher.id}` });
        assert.equal(joined.code, 0, joined.output);
      }
    });
    // What the other container runs is that one's own file; when it has ended it can be written.
    foundNothing(
      lines.filter(([what, path]) => !/PROGRAM/.test(what) || path.trim() !== "/bin/true"),
    );
  });

  test("the watcher is real: who is given the host's processes finds its folders", async () => {
    const lines = await watched({ PidMode: "host", CapAdd: ["SYS_PTRACE"] }, async () => {});
    assert.ok(lines.some(([what]) => what === "FOLDER"));
  });

  test("a program that is the way to its maker is the container's own", async () => {
    const before = await digest(NATIVE);
    const content = await readFile(await securityProgram("attack"));
    const rootfs = await payloadRootfs([
      { type: "file", name: "bin/attack", mode: 0o755, content },
      { type: "symlink", name: "bin/self", linkname: "/proc/self/exe" },
      { type: "file", name: "bin/script", mode: 0o755, content: "#!/proc/self/exe\n" },
    ]);
    await prison.import("self:latest", rootfs);
    for (const program of ["/bin/self", "/bin/script", "/proc/self/exe", "/proc/1/exe"]) {
      const tried = await prison.run([program, "daemon", "--help"], {}, { Image: "self:latest" });
      assert.notEqual(tried.code, 0, `${program} has become something: ${tried.output}`);
    }
    const container = await prison.start(["sleep"], {}, { Image: "self:latest" });
    for (const program of ["/bin/self", "/bin/script", "/proc/self/exe"]) {
      const tried = await prison.exec(container, [program, "daemon", "--help"]);
      assert.notEqual(tried.code, 0, `${program} has become something: ${tried.output}`);
    }
    await container.remove({ force: true });
    assert.equal(await digest(NATIVE), before);
  });

  for (const [kind, host] of KINDS) {
    test(`a working folder by a descriptor's number is refused in ${kind}`, async () => {
      const container = await prison.start(["sleep"], host);
      const link = await prison.exec(container, ["attack", "descriptors"]);
      assert.deepEqual(link.attempts, [["cwd", "inside"]], link.output);
      for (let fd = 3; fd < 24; fd++) {
        const WorkingDir = `/proc/self/fd/${fd}`;
        const made = await prison.run(["attack", "descriptors"], host, { WorkingDir });
        const entered = await prison.exec(container, ["attack", "descriptors"], { WorkingDir });
        for (const { code, attempts, output } of [made, entered]) {
          if (code === 0) assert.deepEqual(attempts, [["cwd", "inside"]], output);
        }
      }
      for (const WorkingDir of [
        "/proc/1/cwd",
        "/proc/self/cwd",
        "/proc/1/root",
        "/proc/self/root",
      ]) {
        const entered = await prison.exec(container, ["attack", "descriptors"], { WorkingDir });
        if (entered.code === 0) assert.deepEqual(entered.attempts, [["cwd", "inside"]]);
      }
      await container.remove({ force: true });
    });

    test(`what an exec is given for its input is not the host's to change, in ${kind}`, async () => {
      const before = (await stat("/dev/null")).mtimeMs;
      const container = await prison.start(["sleep"], host);
      const inputs = ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"];
      await prison.exec(container, ["attack", "node", ...inputs]);
      await prison.exec(container, ["attack", "node", ...inputs], { AttachStdin: true });
      await prison.run(["attack", "node", ...inputs, "/dev/null"], host);
      assert.equal((await stat("/dev/null")).mtimeMs, before);
      await container.remove({ force: true });
    });

    test(`no capability is inherited, and groups are those of the user, in ${kind}`, async () => {
      const container = await prison.start(["sleep"], host);
      const said = await prison.exec(container, ["status", "CapInh", "CapAmb"]);
      const made = await prison.run(["status", "CapInh", "CapAmb"], host);
      for (const { output } of [said, made]) {
        assert.match(output, /^CapInh:\s+0{16}\nCapAmb:\s+0{16}\n$/);
      }
      const User = "1000:1000";
      for (const { output } of [
        await prison.run(["id"], host, { User }),
        await prison.exec(container, ["id"], { User }),
      ]) {
        assert.match(output, /^uid=1000 gid=1000 groups=(1000(,2000)?|2000,1000)\n$/);
      }
      const user = await prison.exec(container, ["status", "CapPrm", "CapEff"], { User });
      assert.match(user.output, /^CapPrm:\s+0{16}\nCapEff:\s+0{16}\n$/);
      await container.remove({ force: true });
    });
  }

  test("a number is never the name of an image's root", async () => {
    const Image = "numbers:latest";
    const names = "0x3e8 +1000 01000 1000".split(" ");
    const passwd = ["root:x:0:0::/:", ...names.map((name) => `${name}:x:0:0::/:`)].join("\n");
    await prison.import(
      Image,
      await payloadRootfs([
        { type: "file", name: "etc/passwd", content: `${passwd}\n` },
        { type: "file", name: "etc/group", content: "root:x:0:\n1000:x:0:\n" },
      ]),
    );
    for (const User of ["1000", "1000:1000", "01000"]) {
      const said = await prison.run(["id"], {}, { Image, User });
      assert.match(said.output, /^uid=1000 gid=(0|1000) /, User);
    }
    const huge = await prison.run(["id"], {}, { Image, User: "99999999999999999999" });
    assert.notEqual(huge.code, 0);
  });

  test("a user without privilege gets none by the way of an exec's privilege", async () => {
    const container = await prison.start(["sleep"]);
    const said = await prison.exec(container, ["status", "CapInh", "CapAmb", "CapPrm"], {
      User: "1000",
      Privileged: true,
    });
    assert.match(said.output, /CapInh:\s+0{16}/);
    assert.match(said.output, /CapAmb:\s+0{16}/);
    allRefused(await prison.exec(container, ["attack", "mounts"], { User: "1000" }));
    await container.remove({ force: true });
  });

  test("no socket of the engine is found by a name that has no file", async () => {
    const container = await prison.start(["sleep"]);
    const list = await prison.run(["cat", "/proc/net/unix"], { NetworkMode: "host" });
    assert.match(list.output, /Num\s+RefCount/);
    const ours = list.output.split("\n").filter((line) => / @/.test(line));
    assert.deepEqual(ours, []);
    const tcp = await prison.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], {
      NetworkMode: "host",
    });
    assert.deepEqual(
      tcp.output.split("\n").filter((line) => / 0A /.test(line)),
      [],
      "the daemon listens on a network",
    );
    await container.remove({ force: true });
  });

  test("who has no privilege on the host sees nothing of the data of containers", async () => {
    const data = join(prison.daemon.folder, "data");
    const exec = join(prison.daemon.folder, "exec");
    assert.equal((await stat(data)).mode & 0o007, 0);
    assert.equal((await stat(exec)).mode & 0o006, 0); // passed through, as Docker's is
    assert.equal((await stat(join(exec, "m"))).mode & 0o077, 0); // the sockets of the monitors
    const listed = await run("setpriv", [
      ...["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"],
      ...[prison.program, "reads", data, exec],
    ]);
    assert.match(listed.stdout, /EACCES\n.*EACCES/);
  });
});
