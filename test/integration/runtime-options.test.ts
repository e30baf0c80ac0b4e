// What docker run's options change, seen from inside and outside on the real kernel.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { chown, mkdir, readFile, stat } from "node:fs/promises";
import { after, test } from "node:test";
import type { MountRecord } from "../../src/engine/containers/record.ts";
import { planFreeze, planUpdate, readStats } from "../../src/runtime/index.ts";
import { hostFolder, RuntimeFixture } from "../support/runtime-fixture.ts";

const runtime = await RuntimeFixture.make();
after(() => runtime[Symbol.asyncDispose]());

const bind = (source: string, target: string, more: Partial<MountRecord> = {}): MountRecord => ({
  Type: "bind",
  Source: source,
  Destination: target,
  Mode: "",
  RW: true,
  Propagation: "rprivate",
  ...more,
});

test("a user by name has its groups, no capabilities and may reopen its output", async () => {
  const text = await runtime.see(["id", "status CapEff CapPrm CapBnd", "env"], {
    config: { User: "app" },
    host: { GroupAdd: ["3000"] },
  });
  assert.match(text, /uid=1000 gid=1000 groups=1000,2000,3000/);
  assert.match(text, /CapEff:\s+0+\n/);
  assert.match(text, /CapBnd:\s+00000000a80425fb/);
  assert.match(text, /HOME=\/home\/app/);
  const out = await runtime.run(["write", "/dev/stdout", "again"], { config: { User: "app" } });
  assert.equal(out.stdout.trim(), "again", out.stderr);
});

test("capabilities are added and dropped, and no_new_privs and ulimits are set", async () => {
  const text = await runtime.see(["status CapEff NoNew Seccomp:", "limits"], {
    host: {
      CapDrop: ["ALL"],
      CapAdd: ["NET_ADMIN", "kill"],
      SecurityOpt: ["no-new-privileges"],
      Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
    },
  });
  assert.match(text, /CapEff:\s+0+1020\n/);
  assert.match(text, /NoNewPrivs:\s+1/);
  assert.match(text, /Seccomp:\s+2/);
  assert.match(text, /nofile=100:200/);
});

test("a privileged container has everything that the daemon has", async () => {
  const text = await runtime.see(
    ["status CapEff Seccomp:", "mount tmpfs /tmp", "stat /dev/kmsg", "cat /proc/self/mountinfo"],
    { host: { Privileged: true, MaskedPaths: null, ReadonlyPaths: null } },
  );
  const held = runtime.kernel.heldCapabilities.toString(16).padStart(16, "0");
  assert.match(text, new RegExp(`CapEff:\\s+${held}`));
  assert.match(text, /Seccomp:\s+0/);
  assert.match(text, /\/dev\/kmsg mode=20/);
  assert.match(text, / \/sys rw,nosuid,nodev,noexec/);
  assert.doesNotMatch(text, / \/proc\/kcore /);
});

test("binds take folders and files, read-only with all below, and resolve inside the root", async () => {
  const folder = await hostFolder(runtime, "data");
  await mkdir(`${folder}/sub`, { recursive: true });
  writeFileSync(`${folder}/file`, "host\n");
  const mounts = [
    bind(folder, "/mnt/rw"),
    bind(`${folder}/file`, "/mnt/one"),
    bind(folder, "/mnt/ro", { RW: false }),
  ];
  const text = await runtime.see(
    ["cat /mnt/one", "write /mnt/rw/new inside", "cat /proc/self/mountinfo"],
    { mounts },
  );
  assert.match(text, /^host\n/);
  assert.equal((await readFile(`${folder}/new`, "utf8")).trim(), "inside");
  assert.match(text, /\/mnt\/ro ro,relatime/);
  const denied = await runtime.run(["write", "/mnt/ro/x", "no"], { mounts });
  assert.match(denied.stderr, /Read-only file system/);
});

test("more binds than a plan has slots are mounted all the same", async () => {
  const folder = await hostFolder(runtime, "many");
  writeFileSync(`${folder}/file`, "x\n");
  const mounts = Array.from({ length: 60 }, (_, i) => bind(folder, `/mnt/m${i}`));
  const text = await runtime.see(["cat /mnt/m0/file", "cat /mnt/m59/file"], { mounts });
  assert.equal(text, "x\nx\n");
});

test("a read-only root can be written only where something else is mounted", async () => {
  const host = { ReadonlyRootfs: true, Tmpfs: { "/scratch": "size=1m,mode=1777" } };
  const denied = await runtime.run(["write", "/x", "no"], { host });
  assert.match(denied.stderr, /Read-only file system/);
  const text = await runtime.see(["write /scratch/a b", "write /dev/shm/a b"], { host });
  assert.equal(text, "");
  const info = await runtime.see(["cat /proc/self/mountinfo"], { host });
  assert.match(info, /\/scratch rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=1024k/);
});

test("a tmpfs keeps the mode of the folder that it covers, a new one is for everybody", async () => {
  const text = await runtime.see(["stat /tmp /fresh /chosen"], {
    host: { Tmpfs: { "/tmp": "", "/fresh": "", "/chosen": "mode=700" } },
  });
  assert.match(text, /\/tmp mode=40755/);
  assert.match(text, /\/fresh mode=41777/);
  assert.match(text, /\/chosen mode=40700/);
});

test("limits reach the kernel, change live, and are what stats show", async () => {
  const container = await runtime.start(["sleep", "60"], {
    host: { Memory: 64 << 20, MemorySwap: 128 << 20, NanoCpus: 5e8, PidsLimit: 20, CpuShares: 512 },
  });
  container.monitor.release();
  const { cgroupPaths } = container.planned;
  const { cgroup } = runtime.kernel;
  const isV1 = cgroup.v1.has("memory");
  const read = (controller: string, v1: string, v2: string) => {
    const folder = cgroupPaths[isV1 ? controller : ""];
    return readFileSync(`${folder}/${isV1 ? v1 : v2}`, "utf8").trim();
  };
  assert.equal(read("memory", "memory.limit_in_bytes", "memory.max"), String(64 << 20));
  assert.match(read("cpu", "cpu.cfs_quota_us", "cpu.max"), /^50000/);
  assert.equal(read("pids", "pids.max", "pids.max"), "20");
  const before = { memory: { limit: 64 << 20, swap: 128 << 20 } };
  const wanted = { memory: { limit: 256 << 20, swap: 512 << 20 }, pids: { limit: -1 } };
  const { spawner } = runtime.native;
  await spawner.run({ host: planUpdate(cgroup, cgroupPaths, wanted, before) });
  assert.equal(read("memory", "memory.limit_in_bytes", "memory.max"), String(256 << 20));
  assert.equal(read("pids", "pids.max", "pids.max"), "max");
  const host = { memoryTotalBytes: runtime.kernel.memoryTotalBytes ?? 0, onlineCpus: 2 };
  const stats = await readStats(cgroupPaths, container.pid, host);
  assert.equal(stats.memory_stats.limit, 256 << 20);
  assert.equal(stats.pids_stats.current, 1);
  assert.ok(stats.cpu_stats.cpu_usage.total_usage > 0);
  assert.ok(stats.cpu_stats.system_cpu_usage > stats.cpu_stats.cpu_usage.total_usage);

  await spawner.run({ host: planFreeze(cgroupPaths, true) });
  const state = () => readFileSync(`/proc/${container.pid}/cgroup`, "utf8");
  assert.ok(state().includes(container.id));
  await spawner.run({ host: planFreeze(cgroupPaths, false) });
  await container.monitor.kill("", 9);
  assert.equal((await container.monitor.exited).signal, 9);
});

test("the out-of-memory killer's work is reported", async () => {
  const { exit } = await runtime.run(["eat", "64"], {
    host: { Memory: 16 << 20, MemorySwap: 16 << 20 },
  });
  assert.equal(exit.code, 137);
  assert.equal(exit.oomKilled, true);
});

test("forks beyond the limit fail", async () => {
  const { stdout } = await runtime.run(["bomb", "50"], { host: { PidsLimit: 10 } });
  assert.match(stdout, /forked 9 until EAGAIN/);
});

test("a terminal is the container's own, with its size, and owned by its user", async () => {
  const { stdout, exit } = await runtime.run(["seq", "tty", "stat /dev/console /dev/pts/0"], {
    config: { Tty: true, User: "app" },
    host: { ConsoleSize: [33, 101] },
  });
  assert.equal(exit.code, 0, stdout);
  assert.match(stdout, /tty=111 rows=33 columns=101/);
  assert.match(stdout, /\/dev\/console mode=20620 uid=1000 gid=5/);
  assert.match(stdout, /\/dev\/pts\/0 mode=20620 uid=1000/);
});

test("namespaces of another container are joined, and shared memory with them", async () => {
  const first = await runtime.start(["sleep", "60"], { host: { IpcMode: "shareable" } });
  first.monitor.release();
  await runtime.exec(first, ["write", "/dev/shm/note", "shared"]);
  const { pid } = first;
  const text = await runtime.see(["ns", "cat /dev/shm/note", "ps"], {
    host: { NetworkMode: "container:x", IpcMode: "container:x", PidMode: "container:x" },
    joined: { network: pid, ipc: pid, pid },
  });
  const inside = await runtime.exec(first, ["ns"]);
  const find = (list: string, name: string) => new RegExp(`^${name}:.*$`, "m").exec(list)?.[0];
  for (const name of ["net", "ipc", "pid"]) {
    assert.equal(find(text, name), find(inside.stdout, name), name);
  }
  assert.notEqual(find(text, "mnt"), find(inside.stdout, "mnt"));
  assert.match(text, /shared/);
  assert.match(text, /^1 [RS] /m);
});

test("host modes share the host's namespaces", async () => {
  const text = await runtime.see(["ns"], {
    host: { NetworkMode: "host", PidMode: "host", IpcMode: "host", UTSMode: "host" },
    change: (spec) => delete spec.linux?.sysctl,
  });
  const { readlinkSync } = await import("node:fs");
  for (const name of ["net", "pid", "ipc", "uts"]) {
    assert.ok(text.includes(readlinkSync(`/proc/self/ns/${name}`)), name);
  }
});

test("a cgroup namespace hides the path of the container's cgroups", async () => {
  const text = await runtime.see(["cat /proc/self/cgroup", "cat /proc/self/mountinfo"], {
    host: { CgroupnsMode: "private" },
  });
  const lines = text.split("\n").filter((line) => /^\d+:.*:\//.test(line));
  assert.ok(lines.length > 0);
  for (const line of lines) assert.match(line, /:\/$/);
  assert.match(text, / \/ \/sys\/fs\/cgroup/);
});

test("a working folder that is missing is made, and a volume below it is mounted first", async () => {
  const text = await runtime.see(["pwd"], { config: { WorkingDir: "/srv/app/deep" } });
  assert.equal(text.trim(), "/srv/app/deep");
});

test("an exec has the container's conditions, or the ones it asks for", async () => {
  const container = await runtime.start(["sleep", "60"], { host: { PidsLimit: 30 } });
  container.monitor.release();
  const text = (await runtime.exec(container, ["seq", "status Cap Seccomp", "ns", "ps"])).stdout;
  assert.match(text, /CapEff:\s+00000000a80425fb/);
  assert.match(text, /Seccomp:\s+2/);
  assert.match(text, /^1 [RS] sleep/m);
  const cgroup = (await runtime.exec(container, ["cat", "/proc/self/cgroup"])).stdout;
  for (const line of runtime.ownLines(cgroup)) assert.ok(line.endsWith(container.id), line);
  const user = { uid: 1000, gid: 1000, additionalGids: [1000] };
  const id = await runtime.exec(container, ["id"], { user, cwd: "/tmp" });
  assert.match(id.stdout, /uid=1000 gid=1000 groups=1000/);
  const tty = await runtime.exec(container, ["tty"], {
    terminal: true,
    consoleSize: { height: 10, width: 20 },
  });
  assert.match(tty.stdout, /tty=111 rows=10 columns=20/);
  const fds = await runtime.exec(container, ["ls", "/proc/self/fd"]);
  assert.equal(fds.stdout, "0\n1\n2\n3\n");
});

test("an exec runs in a container that has lost its /dev/null", async () => {
  const container = await runtime.start(["seq", "rm /dev/null", "echo gone", "sleep 60"]);
  const output = await container.monitor.attach("", { stdin: false, stdout: true, stderr: true });
  container.monitor.release();
  for await (const _ of output) break;
  const { stdout } = await runtime.exec(container, ["id"]);
  assert.match(stdout, /uid=0/);
});

test("an exec's working folder outside the root is refused", async () => {
  const container = await runtime.start(["sleep", "60"]);
  container.monitor.release();
  for (let fd = 3; fd < 12; fd++) {
    const leaked = runtime.exec(container, ["pwd"], { cwd: `/proc/self/fd/${fd}` });
    await assert.rejects(leaked, /chdir|outside/);
  }
});

test("a mount over procfs and a symlinked /proc are refused", async () => {
  const folder = await hostFolder(runtime, "evil");
  assert.throws(
    () => runtime.plan("x", ["true"], { mounts: [bind(folder, "/proc/sys")] }),
    /cannot be mounted because it is inside \/proc/,
  );
  const root = await hostFolder(runtime, "linked");
  const { symlink } = await import("node:fs/promises");
  await mkdir(`${root}/elsewhere`, { recursive: true });
  await symlink("/elsewhere", `${root}/proc`).catch(() => {});
  const failing = runtime.run(["true"], { rootfs: () => ({ kind: "bind", path: root }) });
  await assert.rejects(failing, /ELOOP|ENOTDIR|symbolic|directory/i);
});

test("a symlink of the image cannot lead a mount into procfs", async () => {
  const folder = await hostFolder(runtime, "cover");
  const root = await hostFolder(runtime, "trap");
  const { cp, symlink } = await import("node:fs/promises");
  await cp(runtime.native.rootfs, root, { recursive: true });
  await symlink("/proc/sys", `${root}/data`);
  const failing = runtime.run(["true"], {
    mounts: [bind(folder, "/data")],
    rootfs: () => ({ kind: "bind", path: root }),
  });
  await assert.rejects(failing, /leads into \/proc/);
});

test("root of a user namespace is nobody outside, and its files are its own", async () => {
  const root = await hostFolder(runtime, "mapped");
  const { cp } = await import("node:fs/promises");
  await cp(runtime.native.rootfs, root, { recursive: true });
  await chown(root, 100_000, 100_000);
  for (const name of ["proc", "dev", "tmp", "bin"])
    await chown(`${root}/${name}`, 100_000, 100_000);
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const container = await runtime.start(["sleep", "60"], {
    rootfs: () => ({ kind: "bind", path: root }),
    change: (spec) => {
      spec.linux!.namespaces!.push({ type: "user" });
      spec.linux!.uidMappings = map;
      spec.linux!.gidMappings = map;
      // The default range of groups reaches beyond those that the namespace has.
      spec.linux!.sysctl = { "net.ipv4.ip_unprivileged_port_start": "0" };
    },
  });
  container.monitor.release();
  assert.match(readFileSync(`/proc/${container.pid}/status`, "utf8"), /Uid:\s+100000\s+100000/);
  const more = { userNamespace: true, hostUid: 100_000 };
  const text = await runtime.exec(container, ["seq", "id", "write /tmp/mine x"], {}, more);
  assert.match(text.stdout, /uid=0 gid=0/, text.stderr);
  assert.equal((await stat(`${root}/tmp/mine`)).uid, 100_000);
});
