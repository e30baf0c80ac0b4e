// Containers of another OCI runtime, registered as daemon.json or --add-runtime has it: the same
// life as those of the built-in one.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { programAt } from "./foreign-host.ts";
import { IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const runc = programAt("runc");
const skip = whyNoDaemon() || (runc === undefined && "needs runc");

const gantry = join(root, "bin/gantry-runtime");
const RUNTIMES = [
  ["runc", runc, skip],
  ["gantry-runtime", gantry, whyNoDaemon()],
] as const;

const notV1 = !existsSync("/sys/fs/cgroup/memory") && "needs the memory controller of cgroup v1";

function statOf(pid: number): { state: string | undefined; parent: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state, parent: Number(parent) };
}

for (const [name, path, skip] of RUNTIMES) {
  describe(`containers of ${name}, registered as another runtime`, { skip }, () => {
    let daemon: TestDaemon;
    before(async () => {
      if (path === gantry) await bundleCli();
      daemon = await startDaemon({ client: "gantry", args: ["--add-runtime", `other=${path}`] });
    });
    after(() => daemon.stop());
    const flags = ["--runtime", "other", "--network", "none"];
    const run = (...args: string[]) => daemon.client(["run", "--rm", ...flags, ...args]);
    const started = (...args: string[]) => daemon.ok("run", "-d", ...flags, ...args);

    test("output, exit code and standard input are the command's", async () => {
      const { code, stdout, stderr } = await run(IMAGE, "seq", "echo out", "err oops", "exit 7");
      assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "oops\n" });
      const args = ["run", "--rm", "-i", ...flags, IMAGE, "cat"];
      assert.equal((await daemon.client(args, { input: "hello" })).stdout, "hello");
    });

    test("what the runtime refuses is said as docker says it", async () => {
      const { code, stderr } = await run(IMAGE, "nosuch");
      assert.equal(code, 127, stderr);
      assert.match(stderr, /OCI runtime create failed: .*executable file not found in \$PATH/);
      const unknown = await daemon.client(["run", "--rm", "--runtime", "nosuch", IMAGE, "true"]);
      assert.equal(unknown.code, 125);
      assert.match(unknown.stderr, /unknown or invalid runtime name: nosuch/);
    });

    test("it lives on without its daemon, takes execs, and is killed as a whole", async () => {
      const id = await started("-m", "64m", IMAGE, "seq", "echo before", "sleep");
      await daemon.kill9();
      await daemon.start();
      assert.equal(await daemon.ok("exec", id, "echo", "inside"), "inside");
      assert.equal(await daemon.ok("logs", id), "before");
      assert.equal(await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", id), "other");
      await daemon.ok("pause", id);
      await daemon.ok("unpause", id);
      assert.match(await daemon.ok("top", id), /sleep/);
      const stats = ["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", id];
      assert.match(await daemon.ok(...stats), /64MiB [1-9]\d*$/);
      await daemon.ok("update", "-m", "48m", "--memory-swap", "48m", id);
      assert.match(await daemon.ok(...stats), /48MiB [1-9]\d*$/);
      await daemon.ok("kill", id);
      assert.equal(await daemon.ok("wait", id), "137");
      await daemon.ok("start", id);
      await daemon.ok("rm", "-f", id);
    });

    test("a terminal has its size, and signals reach the program", async () => {
      const typed = daemon.terminal(["run", "--rm", "-it", ...flags, IMAGE, "signals"], {
        rows: 33,
        columns: 101,
      });
      await typed.until("ready");
      typed.write("\x03");
      await typed.until("signal 2");
      typed.write("\x1c");
      await typed.until("signal 3");
      const [id = ""] = (await daemon.ok("ps", "-q")).split("\n");
      const exec = daemon.terminal(["exec", "-it", id, "tty"], { rows: 33, columns: 101 });
      await exec.until("tty=111 rows=33 columns=101");
      assert.equal(await exec.exitCode(), 0);
      await daemon.ok("stop", id);
      assert.equal(await typed.exitCode(), 0);
    });

    test("stop, restart and the logs of each life", async () => {
      const id = await started(IMAGE, "signals");
      const lives = async (count: number) => {
        const deadline = Date.now() + 60_000;
        while ((await daemon.ok("logs", id)).match(/ready/g)?.length !== count) {
          if (Date.now() > deadline) throw new Error(`No ${count} lives in the log`);
        }
      };
      await lives(1);
      await daemon.ok("stop", id);
      assert.equal(await daemon.ok("inspect", "-f", "{{.State.ExitCode}}", id), "0");
      await daemon.ok("start", id);
      await lives(2);
      await daemon.ok("restart", id);
      await lives(3);
      await daemon.ok("rm", "-f", id);
    });

    test("what takes more memory than it may is known to have been killed for it", async () => {
      const id = await started("-m", "16m", IMAGE, "eat", "64");
      assert.equal(await daemon.ok("wait", id), "137");
      assert.equal(await daemon.ok("inspect", "-f", "{{.State.OOMKilled}}", id), "true");
      await daemon.ok("rm", id);
    });

    // Another runtime takes the cgroup away, and the count of kills with it, as soon as it can.
    test("a monitor without a processor hears of the kill afterwards", {
      skip: notV1,
    }, async () => {
      const commands = ["sleep 1", "eat 64"];
      for (const how of ["at once", "late"]) {
        const id = await started("-m", "16m", IMAGE, "seq", ...commands);
        const inspected = await daemon.ok("inspect", "-f", "{{.State.Pid}}", id);
        const runtime = statOf(Number(inspected)).parent;
        const monitor = statOf(runtime).parent;
        process.kill(monitor, "SIGSTOP");
        try {
          while (statOf(runtime).state !== "Z") await delay(1);
          // The removal of a cgroup is told some time after it.
          if (how === "late") await delay(500);
        } finally {
          process.kill(monitor, "SIGCONT");
        }
        assert.equal(await daemon.ok("wait", id), "137");
        assert.equal(await daemon.ok("inspect", "-f", "{{.State.OOMKilled}}", id), "true", how);
        await daemon.ok("rm", id);
      }
    });

    test("images, parts of images and parts of volumes are mounted", async () => {
      await daemon.ok("run", "--rm", ...flags, "-v", "parts:/data", IMAGE, "true");
      const image = `type=image,source=${IMAGE},target=/image`;
      const part = `type=image,source=${IMAGE},target=/part,image-subpath=data`;
      const file = "type=volume,source=parts,target=/one,volume-subpath=seed";
      const mounts = [image, part, file].flatMap((mount) => ["--mount", mount]);
      const read = [
        "cat /image/data/seed",
        "cat /part/seed",
        "cat /one",
        "append /one x",
        "cat /one",
      ];
      const { code, stdout, stderr } = await run(...mounts, IMAGE, "seq", ...read);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "seed\nseed\nseed\nseed\nx\n");
      const denied = await run("--mount", `${image},readonly`, IMAGE, "write", "/image/x", "x");
      assert.match(denied.stderr, /Read-only file system/);
      await daemon.ok("volume", "rm", "parts");
    });

    test("its containers have no checkpoints, and go on", async () => {
      const id = await started(IMAGE, "sleep");
      const made = await daemon.client(["checkpoint", "create", id, "one"]);
      assert.match(made.stderr, /checkpoints of containers of the runtime other are not supported/);
      assert.equal(await daemon.ok("checkpoint", "ls", id), "CHECKPOINT NAME");
      assert.equal(await daemon.ok("inspect", "-f", "{{.State.Status}}", id), "running");
      await daemon.ok("rm", "-f", id);
    });
  });
}

describe("another OCI runtime as the default", { skip }, () => {
  let folder: string;
  let config: string;
  let daemon: TestDaemon;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-runtimes-"));
    config = join(folder, "daemon.json");
    await configure("other");
    daemon = await startDaemon({ client: "gantry", args: ["--config-file", config] });
  });
  after(async () => {
    await daemon?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  test("a shim of runc is the program that its options name", async () => {
    const states = join(folder, "states");
    const shim = {
      runtimeType: "io.containerd.runc.v2",
      options: { BinaryName: runc, Root: states },
    };
    const runtimes = { other: { path: runc }, shim };
    await writeFile(config, JSON.stringify({ "default-runtime": "other", runtimes }));
    await daemon.restart();
    const id = await daemon.ok("create", "--network", "none", "--runtime", "shim", IMAGE, "sleep");
    await daemon.ok("start", id);
    assert.equal(await daemon.ok("exec", id, "echo", "inside"), "inside");
    assert.deepEqual(await readdir(states), [id]);
    await daemon.ok("kill", id);
    await daemon.ok("wait", id);
    await daemon.ok("start", id);
    assert.equal(await daemon.ok("exec", id, "echo", "again"), "again");
    await daemon.ok("rm", "-f", id);
    await configure("other");
    await daemon.restart();
  });

  const configure = (name: string): Promise<void> =>
    writeFile(
      config,
      JSON.stringify({ "default-runtime": name, runtimes: { other: { path: runc } } }),
    );

  test("makes what names no runtime, and what names ours is ours", async () => {
    assert.equal(await daemon.ok("info", "-f", "{{.DefaultRuntime}}"), "other");
    const run = ["run", "-d", "--network", "none"];
    const theirs = await daemon.ok(...run, IMAGE, "sleep");
    const ours = await daemon.ok(...run, "--runtime", "runc", IMAGE, "sleep");
    const shown = await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", theirs, ours);
    assert.equal(shown, "other\nrunc");
    for (const id of [theirs, ours]) {
      assert.equal(await daemon.ok("exec", id, "echo", "inside"), "inside");
    }
    const bundle = (id: string) => join(daemon.folder, "data/containers", id, "bundle/config.json");
    assert.deepEqual([existsSync(bundle(theirs)), existsSync(bundle(ours))], [true, false]);
    // Who a container's runtime is does not change with the default.
    await configure("runc");
    await daemon.restart();
    assert.equal(await daemon.ok("info", "-f", "{{.DefaultRuntime}}"), "runc");
    await daemon.ok("start", theirs);
    assert.equal(await daemon.ok("inspect", "-f", "{{.HostConfig.Runtime}}", theirs), "other");
    assert.equal(await daemon.ok("exec", theirs, "echo", "again"), "again");
    await daemon.ok("rm", "-f", theirs, ours);
  });
});
