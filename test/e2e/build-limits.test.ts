// What a build may say of its steps beside their commands: limits of memory and processors, limits
// of each process, the control group above them, names of hosts, the size of /dev/shm.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cgroupFolders, removeCgroupFolders } from "../support/cgroup-folders.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const IS_V2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
const MIB = 1 << 20;

describe("limits of a build's steps", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let context: string;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    context = join(daemon.folder, "context");
    await mkdir(context);
  });
  after(() => daemon.stop());

  const args = (...more: string[]) => [
    "build",
    "--network",
    "none",
    "--progress",
    "plain",
    "--no-cache",
    ...more,
    context,
  ];
  async function dockerfile(...command: string[]): Promise<void> {
    const text = `FROM payload\nRUN ${JSON.stringify(command)}\n`;
    await writeFile(join(context, "Dockerfile"), text);
  }
  /** What the step says. */
  async function said(command: string[], ...flags: string[]): Promise<string> {
    await dockerfile(...command);
    const { code, stdout, stderr } = await daemon.client(args(...flags));
    assert.equal(code, 0, stderr + stdout);
    const lines = stderr
      .split("\n")
      .flatMap((line) => /^#\d+ \d+\.\d+ (.*)$/.exec(line)?.[1] ?? []);
    return lines.join("\n");
  }
  const cgroupFile = (controller: string, v1: string, v2: string) =>
    IS_V2 ? `/sys/fs/cgroup/${v2}` : `/sys/fs/cgroup/${controller}/${v1}`;

  test("--memory, --memory-swap and --cpu-* are limits of the step's control group", async () => {
    const memory = cgroupFile("memory", "memory.limit_in_bytes", "memory.max");
    const quota = IS_V2 ? "/sys/fs/cgroup/cpu.max" : "/sys/fs/cgroup/cpu/cpu.cfs_quota_us";
    const cpus = cgroupFile("cpuset", "cpuset.cpus", "cpuset.cpus");
    const command = ["/bin/seq", `cat ${memory}`, `cat ${quota}`, `cat ${cpus}`];
    const limits = ["--memory", "64m", "--memory-swap", "64m"];
    const processors = ["--cpu-period", "50000", "--cpu-quota", "20000", "--cpuset-cpus", "0"];
    const own = (await said(command, ...limits, ...processors)).split("\n");
    assert.deepEqual(own, [String(64 * MIB), IS_V2 ? "20000 50000" : "20000", "0"]);
    const free = (await said(command)).split("\n");
    assert.notEqual(free[0], own[0]);
    assert.notEqual(free[1], own[1]);
    if (!IS_V2) {
      const shares = ["/bin/cat", "/sys/fs/cgroup/cpu/cpu.shares"];
      assert.equal(await said(shares, "--cpu-shares", "512"), "512");
    }
  });

  test("a step that takes more memory than it may have is killed", async () => {
    await dockerfile("/bin/eat", "256");
    const { code, stderr } = await daemon.client(args("-m", "32m", "--memory-swap", "32m"));
    assert.equal(code, 1, stderr);
    assert.match(stderr, /exit code: 137/);
  });

  test("--ulimit is the limit of each process", async () => {
    const flags = ["--ulimit", "nofile=100:200", "--ulimit", "nproc=77", "--ulimit", "core=0"];
    assert.match(await said(["/bin/limits"], ...flags), /nofile=100:200 nproc=77 core=0/);
    const none = await daemon.client(args("--ulimit", "nothing=1"));
    assert.notEqual(none.code, 0);
    assert.match(none.stderr, /rlimit type "RLIMIT_NOTHING" is not valid/);
  });

  test("--add-host is in /etc/hosts, --shm-size the size of /dev/shm, neither in the image", async () => {
    const command = ["/bin/seq", "cat /etc/hosts", "cat /proc/mounts"];
    const flags = ["--add-host", "one.test:192.0.2.1", "--add-host", "six.test=2001:db8::6"];
    const all = await said(command, ...flags, "--shm-size", "3m", "-t", "hosts:1");
    assert.match(all, /^192\.0\.2\.1\s+one\.test$/m);
    assert.match(all, /^2001:db8::6\s+six\.test$/m);
    assert.match(all, / \/dev\/shm tmpfs \S*size=3072k/);
    const run = ["run", "--rm", "--network", "none", "hosts:1", "/bin/ls"];
    assert.equal(
      await daemon.ok(...run, "/etc"),
      await daemon.ok(...run.with(4, "payload"), "/etc"),
    );
  });

  test("--cgroup-parent is the control group above the steps", async () => {
    const parent = `${daemon.cgroupParent}-of-a-build`;
    await dockerfile("/bin/seq", "echo ready", "sleep");
    const session = daemon.session(...args("--cgroup-parent", parent));
    try {
      await session.until(/^#\d+ \d+\.\d+ ready$/m);
      const beneath = (await cgroupFolders(parent)).filter((path) => !path.endsWith(parent));
      assert.ok(beneath.length > 0, "nothing is beneath it");
    } finally {
      session.child.kill("SIGINT");
      await session.exitCode();
      await removeCgroupFolders(parent);
    }
    assert.deepEqual(await cgroupFolders(parent), []);
  });
});
