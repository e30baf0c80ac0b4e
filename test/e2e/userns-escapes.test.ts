// Root of a user namespace tries to be somebody outside: with every capability, no filter of system
// calls and nothing masked, so that only the namespace stands between it and the host. Each try is
// real; where it worked, it would change nothing that matters (a value is written as it is).

import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

/** x86-64's and aarch64's numbers of system calls that only root of the host may make. */
const CALLS =
  process.arch === "x64"
    ? {
        kill: 62,
        initModule: 175,
        kexecLoad: 246,
        swapon: 167,
        syslog: 103,
        acct: 163,
        vhangup: 153,
      }
    : {
        kill: 129,
        initModule: 105,
        kexecLoad: 104,
        swapon: 224,
        syslog: 116,
        acct: 89,
        vhangup: 58,
      };
const NOBODY = ["--userns", "auto", "--cap-add", "ALL"];
for (const option of ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]) {
  NOBODY.push("--security-opt", option);
}

describe("root of a user namespace is nobody outside", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let id: string;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    const host = join(daemon.folder, "host");
    await mkdir(join(host, "folder"), { recursive: true });
    await writeFile(join(host, "secret"), "secret\n", { mode: 0o600 });
    await writeFile(join(host, "readable"), "readable\n", { mode: 0o644 });
    await writeFile(join(host, "users"), "", { mode: 0o600 });
    await chown(join(host, "users"), 1000, 1000);
    await chmod(host, 0o755);
    id = await daemon.ok("run", "-d", ...NOBODY, "-v", `${host}:/host`, IMAGE, "sleep");
  });
  after(() => daemon.stop());
  const attempt = (...args: string[]) => daemon.client(["exec", id, ...args]);
  const fails = async (why: RegExp, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await attempt(...args);
    assert.notEqual(code, 0, `${args.join(" ")} works: ${stdout}`);
    assert.match(stderr, why, args.join(" "));
  };
  const DENIED = /Permission denied|Operation not permitted/;

  test("it has every capability, and means it: its own namespaces obey", async () => {
    const status = await daemon.ok("exec", id, "status", "CapEff", "Seccomp:");
    assert.doesNotMatch(status, /CapEff:\s+0+\s/);
    assert.match(status, /Seccomp:\s+0/);
    await daemon.ok("exec", id, "hostname", "mine");
    await daemon.ok("exec", id, "mount", "tmpfs", "/data");
  });

  test("the host's settings in /proc/sys, /proc and /sys cannot be written", async () => {
    const files = ["kernel/core_pattern", "kernel/modprobe", "vm/swappiness", "fs/file-max"];
    for (const name of files.map((file) => `/proc/sys/${file}`)) {
      const value = (await readFile(name, "utf8").catch(() => "")).trim();
      if (value === "" || value.includes(" ")) continue;
      await fails(DENIED, "write", name, value);
    }
    await fails(/denied|not permitted|No such file/, "write", "/proc/sysrq-trigger", "h");
    await fails(
      /denied|Read-only/,
      "write",
      "/sys/kernel/mm/transparent_hugepage/enabled",
      "madvise",
    );
    await fails(
      /denied|not permitted|Read-only|No such file/,
      "write",
      "/sys/fs/cgroup/memory/release_agent",
      "",
    );
  });

  test("file systems of the host's devices, debugfs and the like cannot be mounted", async () => {
    for (const fstype of ["ext4", "debugfs", "tracefs", "securityfs", "configfs", "devtmpfs"]) {
      await fails(/not permitted|denied|No such device/, "mount", fstype, "/home/app");
    }
  });

  test("no device can be made, and raw disks and memory cannot be opened", async () => {
    for (const [major, minor] of [
      [1, 1],
      [1, 11],
      [8, 0],
      [254, 0],
    ]) {
      await fails(/mknod: Operation not permitted/, "mknod", "/tmp/device", `${major}`, `${minor}`);
    }
    const [disk] = await readdir("/sys/block");
    if (disk === undefined) return;
    const node = `/dev/${disk}`;
    // Even where somebody binds it into a container.
    const bind = ["run", "--rm", "--network", "none", ...NOBODY, "-v", `${node}:/disk`];
    const seen = await daemon.client([
      ...bind,
      "--device-cgroup-rule",
      "b *:* rwm",
      IMAGE,
      "cat",
      "/disk",
    ]);
    assert.notEqual(seen.code, 0);
    assert.match(seen.stderr, DENIED);
  });

  test("files of the host's users, bound into it, are not its own", async () => {
    await fails(DENIED, "cat", "/host/secret");
    await fails(DENIED, "cat", "/host/users");
    await fails(DENIED, "write", "/host/readable", "x");
    await fails(DENIED, "write", "/host/new", "x");
    await fails(DENIED, "rm", "/host/folder");
    for (const file of ["secret", "readable", "users", "folder"]) {
      await fails(DENIED, "chown", "0", "0", `/host/${file}`);
      await fails(DENIED, "chmod", "4777", `/host/${file}`);
    }
    assert.equal((await attempt("cat", "/host/readable")).stdout, "readable\n");
    const { mode, uid } = await stat(join(daemon.folder, "host/secret"));
    assert.deepEqual([mode & 0o7777, uid], [0o600, 0]);
  });

  test("processes of the host are not there to be killed or looked into", async () => {
    const kill = `${CALLS.kill}:${process.pid}:9`;
    // Its own processes have few numbers; ours may by chance be one of them, but not this process.
    assert.match((await attempt("call", kill)).stdout, /errno 3\n/);
    const pids = (await daemon.ok("exec", id, "ps")).split("\n");
    assert.ok(pids.length <= 3, pids.join());
    await fails(/No such file/, "cat", `/proc/${process.pid}/environ`);
  });

  test("modules, kernels, swap, accounting and the kernel's log are not its own", async () => {
    const { initModule, kexecLoad, swapon, acct, vhangup, syslog } = CALLS;
    const calls = [initModule, kexecLoad, swapon, acct, vhangup, `${syslog}:5:0:0`].map(String);
    const { stdout } = await attempt("call", ...calls);
    const answers = stdout.trim().split("\n");
    assert.equal(answers.length, calls.length);
    // 38: this kernel has no such thing.
    for (const answer of answers) assert.match(answer, /^errno (1|38)$/);
  });

  test("another namespace within gives nothing that it had not", async () => {
    const { stderr, code } = await attempt("seq", "unshare", "mount ext4 /home/app");
    assert.notEqual(code, 0);
    assert.match(stderr, DENIED);
  });

  test("a set-uid program of root in a volume makes its own users root of the container only", async () => {
    const volume = ["--network", "none", "-v", "programs:/v", IMAGE];
    const plain = await daemon.ok("run", "-d", ...volume, "sleep");
    const file = join(daemon.folder, "data/volumes/programs/_data/payload");
    await writeFile(file, await readFile(daemon.payload));
    await chmod(file, 0o4755);
    await daemon.ok("rm", "-f", plain);
    const user = ["run", "--rm", "-u", "app", "--userns", "auto", ...volume];
    const status = (await daemon.ok(...user, "/v/payload", "cat", "/proc/self/status")).split("\n");
    assert.match(status.find((line) => line.startsWith("Uid:"))!, /Uid:\s+1000\s+0\s+0\s+0/);
    const map = await daemon.ok(...user, "/v/payload", "cat", "/proc/self/uid_map");
    assert.doesNotMatch(map, /^0\s+0\s/);
  });
});
