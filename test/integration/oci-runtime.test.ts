// gantry-runtime's life of a container as an engine drives it, seen from the kernel's side too.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

for (const plain of [false, true]) {
  describe(`gantry-runtime, ${plain ? "by plain Node" : "by a warm process"}`, { skip }, () => {
    let oci: OciFixture;
    before(async () => {
      oci = await OciFixture.make();
      oci.plain = plain;
    });
    after(() => oci[Symbol.asyncDispose]());

    test(`a container is created, waits, runs when it is started, and is deleted ${proves("runc-cmd", "create", "create --bundle", "create --pid-file", "start", "state", "kill", "delete")} ${proves("operation", "state", "create", "start", "kill", "delete")} ${proves("state", "id", "status", "pid", "bundle")}`, async () => {
      const { id, bundle } = await oci.bundle(["sleep"]);
      await oci.detached("create", "--bundle", bundle, "--pid-file", oci.path("pid"), id);
      const made = await oci.state(id);
      assert.equal(made.status, "created");
      assert.equal(made.bundle, bundle);
      assert.equal(await readFile(oci.path("pid"), "utf8"), String(made.pid));
      const program = () => readlink(`/proc/${made.pid}/exe`);
      assert.notEqual(await program(), "/bin/sleep");
      await oci.ok("start", id);
      assert.match(await program(), /\/bin\/sleep$/);
      assert.equal((await oci.state(id)).status, "running");
      const again = await oci.call("start", id);
      assert.match(again.stderr, /cannot start an already running container/);
      const early = await oci.call("delete", id);
      assert.match(early.stderr, /cannot delete container .* that is not stopped: running/);
      await oci.ok("kill", id, "KILL");
      await ended(made.pid);
      assert.equal((await oci.state(id)).status, "stopped");
      await oci.ok("delete", id);
      assert.match((await oci.call("state", id)).stderr, /container does not exist/);
      assert.equal(await oci.ok("list", "-q"), "");
    });

    test(`run gives the streams, and the code or the signal with which the program ended ${proves("runc-cmd", "run", "run --bundle")}`, async () => {
      const talk = await oci.bundle(["seq", "echo out", "err bad", "eof", "exit 7"]);
      const child = oci.spawn(["run", "--bundle", talk.bundle, talk.id]);
      child.stdin!.end("12345");
      const result = await resultOf(child);
      assert.deepEqual(
        [result.code, result.stdout, result.stderr],
        [7, "out\neof after 5 bytes\n", "bad\n"],
      );
      const signalled = await oci.bundle(["seq", "echo up", "sleep"]);
      const sleeping = oci.spawn(["run", "--bundle", signalled.bundle, signalled.id]);
      const slept = resultOf(sleeping);
      await once(sleeping.stdout!, "data");
      await oci.ok("kill", signalled.id, "SIGKILL");
      assert.equal((await slept).code, 137);
      const { id, bundle } = await oci.bundle(["signals"]);
      const forwarding = oci.spawn(["run", "-b", bundle, id]);
      const forwarded = resultOf(forwarding);
      await once(forwarding.stdout!, "data");
      forwarding.kill("SIGTERM");
      assert.match((await forwarded).stdout, /15|TERM/);
      assert.deepEqual(await readdir(oci.root), []);
    });

    test(`exec joins the container; what cannot be executed is told as runc tells it ${proves("runc-cmd", "exec", "run --detach")}`, async () => {
      const { id, bundle } = await oci.bundle(["sleep"]);
      await oci.detached("run", "-d", "-b", bundle, id);
      assert.match(await oci.ok("exec", id, "hostname"), /boxed/);
      assert.equal((await oci.call("exec", "--env", "A=b", id, "exit", "5")).code, 5);
      assert.match(await oci.ok("exec", "-e", "A=b", "-u", "1000:1000", id, "env"), /A=b/);
      assert.match(await oci.ok("exec", "-u", "1000:1000", id, "id"), /1000/);
      await writeFile(
        oci.path("process.json"),
        JSON.stringify({
          args: ["pwd"],
          cwd: "/tmp",
          user: { uid: 0, gid: 0 },
          env: ["PATH=/bin"],
        }),
      );
      assert.equal(await oci.ok("exec", "-p", oci.path("process.json"), id), "/tmp\n");
      const missing = await oci.call("exec", id, "nothing-like-it");
      assert.equal(missing.code, 255);
      assert.match(
        missing.stderr,
        /exec failed: unable to start container process: exec: \\"nothing-like-it\\": executable file not found in \$PATH/,
      );
      await oci.ok("delete", "-f", id);
    });

    test("a program that is missing fails the creation, and leaves nothing", async () => {
      const { id, bundle } = await oci.bundle(["nothing-like-it"]);
      const log = oci.path(`log-${plain}.json`);
      const result = await oci.call(
        ...["--log", log, "--log-format", "json", "create", "--bundle", bundle, id],
      );
      assert.equal(result.code, 1);
      const line = JSON.parse(await readFile(log, "utf8"));
      assert.equal(line.level, "error");
      assert.equal(
        line.msg,
        'gantry-runtime create failed: unable to start container process: exec: "nothing-like-it": executable file not found in $PATH',
      );
      assert.deepEqual(await readdir(oci.root), []);
      assert.deepEqual(await cgroupsOf(id), []);
    });

    test(`hooks run at their six points, with the state on their stdin ${proves("state", "ociVersion", "annotations")}`, async () => {
      const log = oci.path(`hooks-${plain}`);
      const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
        const hook = (point: string) => ({
          path: "/bin/sh",
          args: ["sh", "-c", `(echo "$MARK ${point}"; cat; echo) >> ${log}`],
          env: ["MARK=of", "PATH=/bin:/usr/bin"],
        });
        spec.annotations = { key: "value" };
        spec.hooks = {
          prestart: [hook("prestart")],
          createRuntime: [hook("createRuntime")],
          poststart: [hook("poststart")],
          poststop: [hook("poststop")],
          createContainer: [
            {
              path: "/bin/sh",
              args: ["sh", "-c", `readlink /proc/self/ns/mnt >> ${log}`],
              env: ["PATH=/bin:/usr/bin"],
            },
          ],
          startContainer: [{ path: "/bin/write", args: ["write", "/dev/shm/hook", "started"] }],
        };
      });
      await oci.detached("create", "-b", bundle, id);
      const { pid } = await oci.state(id);
      const mounts = await readlink(`/proc/${pid}/ns/mnt`);
      await oci.ok("start", id);
      assert.match(await oci.ok("exec", id, "cat", "/dev/shm/hook"), /started/);
      await oci.ok("delete", "-f", id);
      const lines = (await readFile(log, "utf8")).trim().split("\n");
      const state = (status: string, number = pid) =>
        JSON.stringify({
          ociVersion: JSON.parse(lines[1]!).ociVersion,
          id,
          status,
          bundle,
          pid: number,
          annotations: { key: "value" },
        });
      assert.deepEqual(lines, [
        ...["of prestart", state("creating"), "of createRuntime", state("creating")],
        mounts,
        ...["of poststart", state("running"), "of poststop", state("stopped", 0)],
      ]);
    });

    test("a hook of the host is in none of the container's cgroups", async () => {
      const log = oci.path(`groups-${plain}`);
      const { id, bundle } = await oci.bundle(["true"], (spec) => {
        const hook = { path: "/bin/sh", args: ["sh", "-c", `cat /proc/self/cgroup > ${log}`] };
        const env = ["PATH=/bin:/usr/bin"];
        spec.hooks = { createRuntime: [{ ...hook, env }] } as NonNullable<typeof spec.hooks>;
      });
      await oci.ok("run", "-b", bundle, id);
      const groups = await readFile(log, "utf8");
      assert.match(groups, /^\d+:/);
      assert.ok(!groups.includes(id), groups);
    });

    test("streams that are closed and a folder that is gone do not matter", async () => {
      const gone = oci.path("gone");
      const line = `mkdir ${gone}; cd ${gone}; rmdir ${gone}; exec "$@" <&- >&- 2>&-`;
      const program = [oci.program, "--root", oci.root, "delete", "--force", "none"];
      const child = spawn("sh", ["-c", line, "sh", ...program], {
        env: { ...process.env, GANTRY_PLAIN: plain ? "1" : "" },
      });
      assert.deepEqual(await once(child, "exit"), [0, null]);
    });

    test("a hook that fails ends the creation with what it said", async () => {
      const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
        const hook = { path: "/bin/sh", args: ["sh", "-c", "echo no way >&2; exit 3"] };
        spec.hooks = { createRuntime: [hook] } as unknown as NonNullable<typeof spec.hooks>;
      });
      const result = await oci.call("create", "-b", bundle, id);
      assert.equal(result.code, 1);
      assert.match(result.stderr, /hook \/bin\/sh: exit status 3, stdout and stderr: no way/);
      assert.deepEqual(await readdir(oci.root), []);
      assert.deepEqual(await cgroupsOf(id), []);
    });

    test(`a terminal goes over the console socket ${proves("runc-cmd", "create --console-socket")}`, async () => {
      const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
        spec.process!.terminal = true;
      });
      const refused = await oci.call("create", "-b", bundle, id);
      assert.match(
        refused.stderr,
        /cannot allocate tty if runc will detach without setting console/,
      );
      const path = oci.path(`console-${plain}`);
      const names: string[] = [];
      // To read the descriptor is to close it here, and a terminal hangs up: only after creation.
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        socket.on("data", (data: Buffer) => names.push(data.toString()));
        socket.on("end", () => socket.end());
      });
      server.listen(path);
      await once(server, "listening");
      const connected = once(server, "connection") as Promise<[Socket]>;
      try {
        await oci.detached("create", "-b", bundle, "--console-socket", path, id);
        const [socket] = await connected;
        const closed = once(socket, "close");
        socket.resume();
        await closed;
        assert.deepEqual(names, ["/dev/ptmx"]);
      } finally {
        void connected.then(([socket]) => socket.destroy());
        server.close();
        await oci.ok("delete", "-f", id);
      }
    });

    test(`a paused container stands still, and only resume wakes it ${proves("runc-cmd", "pause", "resume")}`, async () => {
      const { id, bundle } = await oci.bundle(["sleep"]);
      await oci.detached("run", "-d", "-b", bundle, id);
      assert.match((await oci.call("resume", id)).stderr, /container not paused/);
      await oci.ok("pause", id);
      assert.equal((await oci.state(id)).status, "paused");
      assert.match(
        (await oci.call("exec", id, "true")).stderr,
        /cannot exec in a paused container/,
      );
      await oci.ok("resume", id);
      assert.equal((await oci.state(id)).status, "running");
      assert.match(await oci.ok("ps", "-f", "json", id), /^\[\d+\]\n$/);
      await oci.ok("delete", "-f", id);
    });

    test(`descriptors are passed on when they are asked for, and else never ${proves("runc-cmd", "run --preserve-fds")}`, async () => {
      const file = oci.path(`kept-${plain}`);
      await writeFile(file, "kept");
      const kept = openSync(file, "r");
      const { id, bundle } = await oci.bundle(["ls", "/proc/self/fd"]);
      const stdio: ("pipe" | number)[] = ["pipe", "pipe", "pipe", kept];
      const open = async (...more: string[]) => {
        const child = oci.spawn(["run", ...more, "-b", bundle, id], { stdio });
        child.stdin!.end();
        return (await resultOf(child)).stdout.split("\n").filter(Boolean).map(Number);
      };
      const without = await open();
      const withOne = await open("--preserve-fds", "1");
      assert.equal(withOne.length, without.length + 1);
      const missing = await oci.call("run", "--preserve-fds", "1", "-b", bundle, id);
      assert.match(missing.stderr, /unable to preserve fd 3/);
    });
  });
}

/** Folders of a container in any cgroup hierarchy. */
async function cgroupsOf(id: string): Promise<string[]> {
  const found: string[] = [];
  for (const hierarchy of await readdir("/sys/fs/cgroup")) {
    const path = join("/sys/fs/cgroup", hierarchy, `gantry-test-${process.pid}`, id);
    if (existsSync(path)) found.push(path);
  }
  return found;
}

/** Resolves when a process is gone or a zombie. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") X");
    if (/\) [ZX]/.test(text)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
