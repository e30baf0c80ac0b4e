// Docker's defaults as a container sees them, on the real kernel: what it may do, what it is shown,
// and what is closed to it.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { after, test } from "node:test";
import { RuntimeFixture } from "../support/runtime-fixture.ts";

const runtime = await RuntimeFixture.make();
after(() => runtime[Symbol.asyncDispose]());

test("a default container has Docker's capabilities, a filter and no more", async () => {
  const text = await runtime.see(["status Cap Seccomp: NoNewPrivs", "id", "limits", "pid"]);
  assert.match(text, /CapEff:\s+00000000a80425fb/);
  assert.match(text, /CapBnd:\s+00000000a80425fb/);
  assert.match(text, /CapInh:\s+0+\n/);
  assert.match(text, /CapAmb:\s+0+\n/);
  assert.match(text, /Seccomp:\s+2/);
  assert.match(text, /NoNewPrivs:\s+0/);
  assert.match(text, /uid=0 gid=0 groups=0\n/);
  assert.match(text, /umask=022/);
  assert.match(text, /pid=1 ppid=0 sid=1/);
});

test("the mounts are Docker's, with its options", async () => {
  const text = await runtime.see(["cat /proc/self/mountinfo"]);
  const mounts = new Map(
    text
      .trim()
      .split("\n")
      .map((line) => {
        const fields = line.split(" ");
        return [fields[4]!, `${fields[5]} ${fields.slice(fields.indexOf("-") + 1).join(" ")}`];
      }),
  );
  const expected: [string, RegExp][] = [
    ["/proc", /^rw,nosuid,nodev,noexec,relatime proc proc/],
    ["/dev", /^rw,nosuid tmpfs tmpfs rw,size=65536k,mode=755/],
    ["/dev/pts", /^rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666/],
    ["/sys", /^ro,nosuid,nodev,noexec,relatime sysfs sysfs ro/],
    ["/sys/fs/cgroup", /^ro,nosuid,nodev,noexec,relatime /],
    ["/dev/mqueue", /^rw,nosuid,nodev,noexec,relatime mqueue mqueue/],
    ["/dev/shm", /^rw,nosuid,nodev,noexec,relatime tmpfs shm rw,size=65536k/],
    ["/etc/hosts", /^rw,relatime /],
    ["/proc/sys", /^ro,nosuid,nodev,noexec,relatime proc/],
    ["/proc/kcore", /./],
    ["/proc/acpi", /^ro,nosuid,nodev,noexec,relatime tmpfs/],
  ];
  for (const [path, pattern] of expected) {
    if (path === "/proc/kcore" && !existsSync(path)) continue;
    if (path === "/proc/acpi" && !existsSync(path)) continue;
    assert.match(mounts.get(path) ?? `${path} is not mounted`, pattern, path);
  }
  // Nothing of the host's mount table is left.
  for (const line of text.trim().split("\n")) assert.doesNotMatch(line, /master:|shared:/);
});

test("/dev holds the default nodes and links, and the devices cgroup lets nothing else be used", async () => {
  const text = await runtime.see(["ls /dev", "stat /dev/null /dev/tty /dev/ptmx"]);
  const rest = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
  const names = [...(existsSync("/proc/kcore") ? ["core"] : []), ...rest.split(" ")];
  assert.deepEqual(text.split("\n").slice(0, names.length), names);
  assert.match(text, /\/dev\/null mode=20666 uid=0 gid=0 size=0 rdev=1:3/);
  const fuse = await runtime.run(["mknod", "/tmp/fuse", "10", "229"]);
  assert.match(fuse.stderr, /open: Operation not permitted/);
});

test("the network is its own, with the loopback up, and sysctls give it low ports", async () => {
  const text = await runtime.see([
    "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    "cat /proc/net/dev",
    "cat /proc/net/fib_trie",
    "hostname",
  ]);
  assert.match(text, /^0\n/);
  assert.match(text, /127\.0\.0\.1/);
  assert.match(text, /^boxed /m);
});

test("system calls that Docker forbids are forbidden", async () => {
  const mount = await runtime.run(["mount", "tmpfs", "/tmp"]);
  assert.match(mount.stderr, /Operation not permitted/);
  const unshare = await runtime.run(["unshare"]);
  assert.match(unshare.stderr, /Operation not permitted/);
  const free = await runtime.run(["unshare"], { host: { SecurityOpt: ["seccomp=unconfined"] } });
  assert.equal(free.exit.code, 0);
});

test("every namespace is new, and seen from outside the process is where it should be", async () => {
  const container = await runtime.start(["sleep", "60"]);
  container.monitor.release();
  for (const name of ["mnt", "pid", "net", "ipc", "uts"]) {
    const inside = readlinkSync(`/proc/${container.pid}/ns/${name}`);
    assert.notEqual(inside, readlinkSync(`/proc/self/ns/${name}`), name);
  }
  const cgroups = readFileSync(`/proc/${container.pid}/cgroup`, "utf8");
  for (const line of runtime.ownLines(cgroups)) {
    assert.match(line, new RegExp(`/gantry-test-\\d+/${container.id}$`));
  }
  await container.monitor.kill("", 9);
  await container.monitor.exited;
  await (container.monitor as unknown as { closed: Promise<void> }).closed;
  for (const path of Object.values(container.planned.cgroupPaths)) {
    assert.equal(existsSync(path), false, `${path} is left`);
  }
});

test("a process inherits no descriptor and finds no trace of the host's root", async () => {
  const text = await runtime.see(["ls /proc/self/fd", "ls /", "cat /proc/self/oom_score_adj"]);
  const [fds] = text.split("bin\n");
  assert.equal(fds, "0\n1\n2\n3\n"); // 3 is ls itself
});
