// The flags of run, create, kill and update that no other test has a reason to give.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, open, readdir, readFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { cgroupFolder, cgroupValue } from "../support/container-cgroups.ts";
import { until } from "../support/deadline.ts";
import { frozenProgram } from "../support/frozen.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("further flags of gantry-runtime", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  test(`a container is kept when it has ended, its pid file is not ${proves("runc-cmd", "run --keep", "run --pid-file")}`, async () => {
    const { id, bundle } = await oci.bundle(["exit", "4"]);
    const pidFile = oci.path("run-pid");
    const { code } = await oci.call("run", "--keep", "--pid-file", pidFile, "-b", bundle, id);
    assert.equal(code, 4);
    assert.ok(!existsSync(pidFile));
    assert.equal((await oci.state(id)).status, "stopped");
    assert.match((await oci.call("start", id)).stderr, /cannot start a container that has stopped/);
    await oci.ok("delete", id);
    assert.deepEqual(await readdir(oci.root), []);
  });

  test(`all processes get a signal, not the first alone ${proves("runc-cmd", "kill --all")}`, async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const child = oci.spawn(["exec", id, "seq", "echo up", "sleep"]);
    const result = resultOf(child);
    await once(child.stdout!, "data");
    await oci.ok("kill", "--all", id, "KILL");
    assert.equal((await result).code, 137);
    await until("its end", async () => (await oci.state(id)).status === "stopped");
    await oci.ok("kill", "-a", id, "KILL");
    assert.match((await oci.call("kill", id, "KILL")).stderr, /container not running/);
    await oci.ok("delete", id);
  });

  test(`the root is moved where it may not be pivoted ${proves("runc-cmd", "run --no-pivot", "create --no-pivot")}`, async () => {
    const { id, bundle } = await oci.bundle(["seq", "ls /", "cat /proc/self/mountinfo"]);
    const stdout = await oci.ok("run", "--no-pivot", "-b", bundle, id);
    assert.match(stdout, /^bin$/m);
    // Nothing of the host's tree is below the new root.
    assert.doesNotMatch(stdout, / \/(home|usr|boot)\S* /);
    const other = await oci.bundle(["sleep"]);
    await oci.detached("create", "--no-pivot", "-b", other.bundle, other.id);
    await oci.ok("start", other.id);
    assert.match(await oci.ok("exec", other.id, "ls", "/"), /^bin$/m);
    await oci.ok("delete", "-f", other.id);
  });

  test(`the keyring is the container's own, or that of the caller ${proves("runc-cmd", "run --no-new-keyring", "create --no-new-keyring")}`, async () => {
    await copyFile(await frozenProgram(), join(oci.rootfs, "bin/frozen"));
    const bundle = async () =>
      await oci.bundle(["/bin/frozen", "keyring"], (spec) => {
        delete spec.linux!.seccomp;
      });
    const ofRun = async (...flags: string[]) => {
      const { id, bundle: folder } = await bundle();
      return await oci.ok("run", ...flags, "-b", folder, id);
    };
    const { stdout: own } = await promisify(execFile)(await frozenProgram(), ["keyring"]);
    assert.match(own, /^[1-9]\d*\n$/);
    assert.notEqual(await ofRun(), own);
    assert.equal(await ofRun("--no-new-keyring"), own);
    for (const [flags, isOwn] of [
      [[], false],
      [["--no-new-keyring"], true],
    ] as const) {
      const { id, bundle: folder } = await bundle();
      const output = await open(oci.path("keyring"), "w");
      try {
        const words = ["create", ...flags, "-b", folder, id];
        const child = oci.spawn(words, { stdio: [output.fd, output.fd, output.fd] });
        assert.deepEqual(await once(child, "exit"), [0, null]);
      } finally {
        await output.close();
      }
      await oci.ok("start", id);
      await until("its end", async () => (await oci.state(id)).status === "stopped");
      const said = await readFile(oci.path("keyring"), "utf8");
      assert.equal(said === own, isOwn, said);
      await oci.ok("delete", id);
    }
  });

  test(`a terminal of a detached run, and of a further process ${proves("runc-cmd", "run --console-socket", "exec --console-socket", "exec --tty")}`, async () => {
    const path = oci.path("console");
    const names: string[] = [];
    const closed: Promise<unknown>[] = [];
    // Who reads a descriptor and has no use for it closes it, and a terminal hangs up: not before
    // the process has it.
    const sockets: Socket[] = [];
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      sockets.push(socket);
      closed.push(once(socket, "close"));
      socket.on("data", (data: Buffer) => names.push(data.toString()));
      socket.on("end", () => socket.end());
    });
    server.listen(path);
    await once(server, "listening");
    const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
      spec.process!.terminal = true;
    });
    try {
      await oci.detached("run", "-d", "--console-socket", path, "-b", bundle, id);
      await oci.detached("exec", "-d", "--tty", "--console-socket", path, id, "sleep");
      await until("two connections", () => sockets.length === 2);
      for (const socket of sockets) socket.resume();
      await until("two terminals", () => names.length === 2);
      assert.deepEqual(names, ["/dev/ptmx", "/dev/ptmx"]);
    } finally {
      for (const socket of sockets) socket.resume();
      server.close();
      await oci.ok("delete", "-f", id);
      await Promise.all(closed);
    }
  });

  test(`swap, burst, block I/O and what has no effect any more ${proves("runc-cmd", "update --memory-swap", "update --cpu-burst", "update --blkio-weight", "update --kernel-memory", "update --kernel-memory-tcp", "update --cpu-rt-period", "update --cpu-rt-runtime")}`, async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    /** A limit whose file the kernel has is in it; one that it has not is refused by name. */
    const update = async (
      controller: string,
      file: { v1: string; v2: string },
      ...flags: string[]
    ) => {
      const folder = await cgroupFolder(pid, controller);
      const name = existsSync(join(folder, "cgroup.controllers")) ? file.v2 : file.v1;
      const { code, stderr } = await oci.call("update", ...flags, id);
      if (name !== "" && existsSync(join(folder, name))) {
        assert.equal(code, 0, stderr);
        return await cgroupValue(pid, controller, file);
      }
      assert.equal(code, 1, `${flags.join(" ")} was passed over`);
      return stderr;
    };
    const swap = { v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max" };
    const limits = ["--memory", "32M", "--memory-swap", "48M"];
    assert.match(await update("memory", swap, ...limits), /^(50331648|16777216)$/);
    const burst = { v1: "cpu.cfs_burst_us", v2: "cpu.max.burst" };
    await oci.ok("update", "--cpu-period", "100000", "--cpu-quota", "50000", id);
    assert.equal(await update("cpu", burst, "--cpu-burst", "20000"), "20000");
    const weight = { v1: "blkio.bfq.weight", v2: "io.weight" };
    assert.match(
      await update("blkio", weight, "--blkio-weight", "300"),
      /^300$|^default 2930|blkio\.(bfq\.)?weight|io\.(bfq\.)?weight/,
    );
    const tcp = { v1: "memory.kmem.tcp.limit_in_bytes", v2: "" };
    assert.match(
      await update("memory", tcp, "--kernel-memory-tcp", "8M"),
      /^8388608$|memory\.(kernelTCP|kmem\.tcp)/,
    );
    // Above a cgroup the parents have to have a share of realtime, too: none is given to ours.
    const realtime = await oci.call(
      ...["update", "--cpu-rt-period", "1000000", "--cpu-rt-runtime", "1000", id],
    );
    assert.equal(realtime.code, 1);
    assert.match(realtime.stderr, /cpu\.(rt_runtime_us|rt_period_us|realtime\w+)/);
    const ignored = await oci.call("update", "--kernel-memory", "64M", id);
    assert.match(ignored.stderr, /level=warning msg="Kernel memory settings are ignored/);
    await oci.ok("delete", "-f", id);
  });

  test(`descriptors go to a container that waits, and a pidfd of one that runs ${proves("runc-cmd", "create --preserve-fds", "run --pidfd-socket")}`, async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    const { stderr } = await oci.call("create", "--preserve-fds", "2", "-b", bundle, id);
    assert.match(stderr, /unable to preserve fd 3/);
    const heard: string[] = [];
    const server = createServer((socket) => {
      socket.on("data", (data: Buffer) => heard.push(data.toString()));
      socket.on("end", () => socket.end());
    });
    server.listen(oci.path("pidfd-run"));
    await once(server, "listening");
    try {
      const flags = ["--pidfd-socket", oci.path("pidfd-run")];
      await oci.detached("run", "--detach", ...flags, "-b", bundle, id);
      await until("what comes with the pidfd", () => heard.length > 0);
      assert.deepEqual(heard, ["standard"]);
    } finally {
      server.close();
      await oci.ok("delete", "-f", id);
    }
  });
});
