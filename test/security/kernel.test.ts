// Escapes through the kernel's interfaces, tried from inside as root: its files, mounts,
// namespaces, devices, processes of the host, keyrings, and the calls that had holes. Seen from
// outside.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { whyNoDaemon } from "../e2e/harness.ts";
import { allRefused, KINDS, Prison, SECRET } from "./prison.ts";

/** What makes the host run a program, forget its rules, or stop: [file, what is written there]. */
const SWITCHES: readonly [string, string][] = [
  ["/proc/sys/kernel/core_pattern", "|/tmp/gantry-escape"],
  ["/proc/sys/kernel/modprobe", "/tmp/gantry-escape"],
  ["/proc/sys/kernel/hotplug", "/tmp/gantry-escape"],
  ["/proc/sys/kernel/poweroff_cmd", "/tmp/gantry-escape"],
  ["/proc/sys/kernel/domainname", "gantry-escape"],
  ["/proc/sys/kernel/randomize_va_space", "2"],
  ["/proc/sys/kernel/yama/ptrace_scope", "1"],
  ["/proc/sys/vm/overcommit_memory", ""],
  ["/proc/sys/fs/binfmt_misc/register", ""],
  ["/proc/sys/fs/protected_symlinks", "1"],
  ["/proc/sysrq-trigger", ""],
  ["/proc/irq/default_smp_affinity", ""],
  ["/proc/kcore", ""],
  ["/sys/kernel/uevent_helper", "/tmp/gantry-escape"],
  ["/sys/kernel/mm/ksm/run", ""],
  ["/sys/power/state", ""],
  ["/sys/fs/cgroup/memory/release_agent", "/tmp/gantry-escape"],
  ["/sys/fs/cgroup/devices/devices.allow", "a *:* rwm"],
  ["/sys/fs/cgroup/devices/notify_on_release", "1"],
  ["/sys/fs/cgroup/cgroup.procs", ""],
  ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1"],
];
const MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"];
const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

describe("escapes through the kernel", { skip: whyNoDaemon() }, () => {
  let prison: Prison;
  before(async () => {
    prison = await Prison.make();
  });
  after(() => prison?.[Symbol.asyncDispose]());

  for (const [kind, host] of KINDS) {
    test(`the host's switches cannot be thrown from ${kind}`, async () => {
      const watched = SWITCHES.map(([path]) => path).filter((path) => /^\/proc\/sys\//.test(path));
      const before = watched.map(textOf);
      try {
        const tried = await prison.run(["attack", "write", ...SWITCHES.flat()], host);
        assert.equal(tried.attempts.length, SWITCHES.length, tried.output);
        // What is masked by the null device takes everything, and keeps nothing.
        allRefused(tried, ["/proc/kcore"]);
        assert.deepEqual(watched.map(textOf), before);
      } finally {
        // A test that fails must not leave the host changed.
        watched.forEach((path, index) => {
          if (textOf(path) !== before[index]) writeFileSync(path, before[index]!);
        });
      }
    });

    test(`what is masked tells nothing in ${kind}, and its node is not the host's`, async () => {
      const there = MASKED.filter(existsSync);
      const read = await prison.run(["attack", "reads", ...there], host);
      assert.deepEqual(
        read.attempts.map(([, how]) => how),
        there.map(() => "empty"),
      );
      const before = statSync("/dev/null").mtimeMs;
      const paths = [...there, "/proc/acpi", "/sys/firmware"].filter(existsSync);
      allRefused(await prison.run(["attack", "node", ...paths], host));
      assert.equal(statSync("/dev/null").mtimeMs, before);
    });

    test(`nothing can be mounted, or unmounted, in ${kind}`, async () => {
      allRefused(await prison.run(["attack", "mounts"], host));
    });

    test(`no namespace can be made in ${kind}`, async () => {
      const tried = await prison.run(["attack", "namespaces"], host);
      assert.equal(tried.attempts.length, 6);
      allRefused(tried);
    });

    test(`no device of the host can be used in ${kind}`, async () => {
      const devices = ["b 8 0", "b 253 0", "b 254 0", "c 1 1", "c 1 4", "c 1 11", "c 10 229"];
      for (const device of devices) {
        allRefused(
          await prison.run(["attack", "device", ...device.split(" ")], host),
          host.UsernsMode ? [] : ["mknod"],
        );
      }
    });

    test(`a process of the host is out of reach of ${kind}, whatever its number`, async () => {
      const sleeper = spawn("sleep", ["600"]);
      try {
        const tried = await prison.run(["attack", "reach", String(sleeper.pid)], host);
        allRefused(tried);
        assert.equal(sleeper.exitCode ?? sleeper.signalCode, null);
      } finally {
        sleeper.kill("SIGKILL");
        await once(sleeper, "exit");
      }
    });

    test(`a handle of the host's file opens nothing in ${kind}`, async () => {
      const [type, hex] = (await prison.onHost("handle-of", `${prison.outside}/secret`)).split(" ");
      const attack = ["attack", "shocker", type!, hex!, "/etc/hosts"];
      allRefused(await prison.run(attack, host));
    });

    test(`the keyrings of the host's root are closed to ${kind}`, async () => {
      const name = `gantry-${process.pid}`;
      const tried = await prison.run(["attack", "keys", name], host);
      assert.deepEqual(tried.attempts.at(-1), ["secret", "none"]);
      allRefused(tried, ["secret"]);
    });

    test(`the calls that had holes are closed to ${kind}`, async () => {
      const hostname = execFileSync("hostname", { encoding: "utf8" });
      const tried = await prison.run(["attack", "surface"], host);
      assert.ok(tried.attempts.length > 20, tried.output);
      const open = tried.attempts.filter(([, how]) => how !== "EPERM" && how !== "ENOSYS");
      assert.deepEqual(open, []);
      assert.equal(execFileSync("hostname", { encoding: "utf8" }), hostname);
    });

    test(`no keys can be pushed into a terminal of the host from ${kind}`, async () => {
      const with_ = await prison.run(["attack", "terminal"], host, { Tty: true });
      const without = await prison.run(["attack", "terminal"], host);
      // Its own terminal is its own: what it says to itself reaches nobody, and is echoed ("#").
      const own = ["/dev/tty", "/dev/console", "/proc/self/fd/0"];
      const attempts = with_.attempts.map(([what, how]): [string, string] => {
        return [what.replace(/^#+/, ""), how];
      });
      allRefused({ ...with_, attempts }, own);
      allRefused(without);
    });

    test(`files that can only be read stay as they are in ${kind}`, async () => {
      const Binds = [`${prison.outside}/secret:/secret:ro`];
      await prison.run(["attack", "dirty-cow", "/secret"], { ...host, Binds });
      await prison.run(["attack", "dirty-pipe", "/secret"], { ...host, Binds });
      allRefused(await prison.run(["attack", "write", "/secret", "x"], { ...host, Binds }));
      await prison.untouched();
    });

    test(`a double chroot in ${kind} ends in the same root`, async () => {
      const tried = await prison.run(["attack", "chroot"], host);
      assert.deepEqual(tried.attempts.at(-1), ["root", "the same"], tried.output);
    });
  }

  test("the attacks are real: each works where its defence is taken away", async () => {
    const [type, hex] = (await prison.onHost("handle-of", `${prison.outside}/secret`)).split(" ");
    const attack = ["attack", "shocker", type!, hex!, "/etc/hosts"];
    const shocked = await prison.run(attack, { CapAdd: ["DAC_READ_SEARCH"] });
    assert.deepEqual(shocked.attempts, [["content", SECRET]]);
    const open = { CapAdd: ["ALL"], SecurityOpt: ["seccomp=unconfined"] };
    const mounts = await prison.run(["attack", "mounts"], open);
    assert.ok(mounts.attempts.some(([what, how]) => what === "mount proc" && how === "done"));
    const rules = { DeviceCgroupRules: ["c 10:229 rwm"] };
    const device = await prison.run(["attack", "device", "c", "10", "229"], rules);
    assert.notEqual(device.attempts.at(-1)?.[1], "EPERM"); // there may be no such driver
    const surface = await prison.run(["attack", "surface"], open);
    const done = surface.attempts.filter(([, how]) => how === "done").map(([what]) => what);
    assert.ok(done.includes("userfaultfd") && done.includes("sethostname"), surface.output);
    const namespaces = await prison.run(["attack", "namespaces"], open);
    assert.deepEqual(namespaces.attempts[0], ["unshare user", "done"]);
  });

  test("root of a user namespace is nobody to the host, whatever else it is given", async () => {
    const open = {
      UsernsMode: "auto",
      CapAdd: ["ALL"],
      SecurityOpt: ["seccomp=unconfined"],
      MaskedPaths: [],
      ReadonlyPaths: [],
    };
    const tried = await prison.run(["attack", "write", ...SWITCHES.flat()], open);
    assert.equal(tried.attempts.length, SWITCHES.length, tried.output);
    // Its host name is its own.
    allRefused(tried, ["/proc/sys/kernel/domainname"]);
    const [type, hex] = (await prison.onHost("handle-of", `${prison.outside}/secret`)).split(" ");
    allRefused(await prison.run(["attack", "shocker", type!, hex!, "/etc/hosts"], open));
    allRefused(await prison.run(["attack", "device", "c", "1", "11"], open));
    const surface = await prison.run(["attack", "surface"], open);
    const closed = ["bpf", "perf_event_open", "syslog", "iopl", "swapon", "acct", "kexec_load"];
    for (const [what, how] of surface.attempts) {
      if (closed.includes(what)) assert.match(how, /^E/, what);
    }
    const bound = { ...open, Binds: [`${prison.outside}:/outside`] };
    allRefused(await prison.run(["attack", "write", "/outside/secret", "x"], bound));
    allRefused(await prison.run(["attack", "node", "/outside/secret"], bound));
    await prison.untouched();
  });

  test("the host's namespaces are not to be had together with a user namespace", async () => {
    for (const host of [{ PidMode: "host" }, { NetworkMode: "host" }, { Privileged: true }]) {
      const tried = await prison.run(["attack", "mounts"], { UsernsMode: "auto", ...host });
      assert.equal(tried.code, -1, JSON.stringify(host));
      assert.match(tried.output, /user namespaces/);
    }
  });
});
