// What a container may and may not, seen from inside: capabilities, system calls, namespaces,
// masked paths, devices and limits, with Docker's defaults and with what loosens or tightens them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const DEFAULT_CAPABILITIES = "00000000a80425fb";

describe("a container is isolated", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const run = (...args: string[]) => daemon.ok("run", "--rm", "--network", "none", ...args);
  const attempt = (...args: string[]) =>
    daemon.client(["run", "--rm", "--network", "none", ...args]);

  test("the capabilities are Docker's fourteen, and none are inherited or ambient", async () => {
    const text = await run(IMAGE, "status", "Cap", "NoNewPrivs", "Seccomp:");
    assert.match(text, new RegExp(`CapEff:\\s+${DEFAULT_CAPABILITIES}`));
    assert.match(text, new RegExp(`CapBnd:\\s+${DEFAULT_CAPABILITIES}`));
    assert.match(text, /CapInh:\s+0{16}/);
    assert.match(text, /CapAmb:\s+0{16}/);
    assert.match(text, /Seccomp:\s+2/);
  });

  test("--cap-add, --cap-drop and a user change them as in docker", async () => {
    assert.match(await run("--cap-drop", "ALL", IMAGE, "status", "CapEff"), /0{16}/);
    const admin = await run(
      "--cap-drop",
      "all",
      "--cap-add",
      "net_admin",
      IMAGE,
      "status",
      "CapEff",
    );
    assert.match(admin, /0000000000001000/);
    const user = await run("-u", "1000", IMAGE, "status", "CapEff", "CapBnd");
    assert.match(user, /CapEff:\s+0{16}\nCapBnd:\s+00000000a80425fb/);
    assert.equal((await attempt("--cap-add", "NOSUCH", IMAGE, "true")).code, 125);
  });

  test("--security-opt sets no_new_privs and takes the filter away", async () => {
    const flags = ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"];
    const text = await run(...flags, IMAGE, "status", "NoNewPrivs", "Seccomp:");
    assert.match(text, /NoNewPrivs:\s+1/);
    assert.match(text, /Seccomp:\s+0/);
  });

  test("mount, unshare and mknod of devices are refused", async () => {
    assert.match(
      (await attempt(IMAGE, "mount", "tmpfs", "/tmp")).stderr,
      /Operation not permitted/,
    );
    assert.match((await attempt(IMAGE, "unshare")).stderr, /Operation not permitted/);
    const device = await attempt(IMAGE, "mknod", "/tmp/disk", "8", "0");
    assert.match(device.stderr, /Operation not permitted/);
  });

  test("--privileged gives everything that the daemon itself has", async () => {
    const text = await run("--privileged", IMAGE, "seq", "mount tmpfs /tmp", "status Seccomp:");
    assert.match(text, /^tmpfs\n/);
    assert.match(text, /Seccomp:\s+0/);
  });

  test("every namespace but user is the container's own", async () => {
    const inside = (await run("--cgroupns", "private", IMAGE, "ns")).split("\n");
    for (const link of inside) {
      const kind = link.split(":")[0]!;
      const outside = await readlink(`/proc/self/ns/${kind}`);
      if (kind === "user" || kind === "time") assert.equal(link, outside);
      else assert.notEqual(link, outside, kind);
    }
    assert.equal(inside.length, 8);
  });

  test("--pid, --ipc and --uts join the host or another container", async () => {
    const id = await daemon.ok(
      "run",
      "-d",
      "--ipc",
      "shareable",
      "--network",
      "none",
      IMAGE,
      "sleep",
    );
    const other = ["--pid", `container:${id}`, "--ipc", `container:${id}`];
    const mine = await daemon.ok("exec", id, "ns");
    const theirs = await run(...other, IMAGE, "ns");
    const find = (text: string, kind: string) => text.split("\n").find((l) => l.startsWith(kind));
    for (const kind of ["pid", "ipc"]) assert.equal(find(theirs, kind), find(mine, kind));
    assert.equal(
      find(await run("--uts", "host", IMAGE, "ns"), "uts"),
      await readlink("/proc/self/ns/uts"),
    );
    assert.equal(
      find(await run("--pid", "host", IMAGE, "ns"), "pid"),
      await readlink("/proc/self/ns/pid"),
    );
    await daemon.ok("rm", "-f", id);
  });

  test("the process sees only its own, as process 1", async () => {
    assert.equal(await run(IMAGE, "seq", "pid", "ps"), "pid=1 ppid=0 sid=1\n1 R seq");
  });

  test("what leads to the host is masked or read-only", async () => {
    const secrets = ["/proc/kcore", "/proc/keys", "/proc/timer_list"].filter(existsSync);
    assert.equal(await run(IMAGE, "cat", ...secrets), "");
    assert.equal(await run(IMAGE, "ls", "/proc/acpi"), "");
    const sysctl = await attempt(IMAGE, "write", "/proc/sys/kernel/domainname", "x");
    assert.match(sysctl.stderr, /Read-only file system/);
    const sysfs = await attempt(IMAGE, "write", "/sys/kernel/mm/ksm/run", "0");
    assert.match(sysfs.stderr, /Read-only file system|No such file/);
  });

  test("/dev holds what docker's does", async () => {
    const wanted = ["console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random"];
    const rest = ["shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"];
    // core points to /proc/kcore, which not every kernel has.
    const here = wanted.filter((name) => name !== "core");
    const names = (await run(IMAGE, "ls", "/dev")).split("\n").filter((name) => name !== "core");
    assert.deepEqual(names, [...here.filter((name) => name !== "console"), ...rest]);
    const withTty = (await daemon.ok("run", "--rm", "-t", "--network", "none", IMAGE, "ls", "/dev"))
      .split("\n")
      .map((name) => name.trim())
      .filter((name) => name !== "core");
    assert.deepEqual(withTty, [...here, ...rest]);
  });

  test("--device brings one in, with the rights that it says", async () => {
    const text = await run("--device", "/dev/zero:/dev/nought:r", IMAGE, "stat", "/dev/nought");
    assert.match(text, /rdev=1:5/);
  });

  test("memory beyond --memory ends in an OOM kill that inspect and events tell", async () => {
    const flags = ["-d", "--memory", "16m", "--memory-swap", "16m", "--network", "none"];
    const id = await daemon.ok("run", ...flags, IMAGE, "eat", "200");
    assert.equal(await daemon.ok("wait", id), "137");
    assert.equal(await daemon.ok("inspect", "-f", "{{.State.OOMKilled}}", id), "true");
    await daemon.ok("rm", id);
    assert.equal(await run("--memory", "64m", IMAGE, "eat", "8"), "ate 8 MiB");
  });

  test("--pids-limit stops a fork bomb", async () => {
    assert.equal(await run("--pids-limit", "10", IMAGE, "bomb", "50"), "forked 9 until EAGAIN");
  });

  test("limits can be changed while it runs", async () => {
    const id = await daemon.ok("run", "-d", "--network", "none", IMAGE, "sleep");
    await daemon.ok("update", "--pids-limit", "5", "--memory", "32m", "--memory-swap", "32m", id);
    assert.match(await daemon.ok("exec", id, "bomb", "20"), /until EAGAIN/);
    assert.equal(await daemon.ok("inspect", "-f", "{{.HostConfig.Memory}}", id), "33554432");
    await daemon.ok("rm", "-f", id);
  });

  test("impossible limits are refused with docker's words", async () => {
    const small = await attempt("--memory", "4k", IMAGE, "true");
    assert.equal(small.code, 125);
    assert.match(small.stderr, /Minimum memory limit allowed is 6MB/);
    const cpus = await attempt("--cpus", "1000", IMAGE, "true");
    assert.equal(cpus.code, 125);
    assert.match(cpus.stderr, /range of CPUs is from 0.01 to/i);
  });

  test("descriptors of the daemon are not within reach", async () => {
    const fds = (await run(IMAGE, "ls", "/proc/self/fd")).split("\n");
    assert.deepEqual(fds, ["0", "1", "2", "3"]); // 3 is ls itself, reading the folder
  });
});
