// AppArmor where the kernel has it: labels are read from outside, and what a profile denies is
// tried with everything else that would forbid it switched off.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { HostConfig } from "dockerode";
import { silentLogger } from "../../../src/base/index.ts";
import { AppArmor } from "../../../src/engine/apparmor/index.ts";
import type { GuestDaemon } from "../containers.ts";

const SECURITY = "/sys/kernel/security/apparmor";
const OWN = "gantry-vm-own";
/** Nothing but the profile stands between this container and the kernel's files. */
const LOOSE: HostConfig = {
  CapAdd: ["SYS_ADMIN"],
  SecurityOpt: ["seccomp=unconfined", "systempaths=unconfined"],
};
const loose = (profile: string): HostConfig => ({
  ...LOOSE,
  SecurityOpt: [...LOOSE.SecurityOpt!, `apparmor=${profile}`],
});

export const hasApparmor = async (): Promise<boolean> =>
  (await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "")).startsWith(
    "Y",
  );

export function apparmor(guest: GuestDaemon): void {
  const labelOf = async (pid: number) =>
    (await readFile(`/proc/${pid}/attr/current`, "utf8")).replace(/[\n\0]+$/, "");
  const profiles = () => readFile(`${SECURITY}/profiles`, "utf8");
  const inspect = (id: string) => guest.daemon.dockerode.getContainer(id).inspect();

  test("the daemon has loaded its profile, and info lists AppArmor without a warning", async () => {
    assert.match(await profiles(), /^docker-default \(enforce\)$/m);
    const info = await guest.daemon.dockerode.info();
    assert.ok((info.SecurityOptions as string[]).includes("name=apparmor"));
    assert.doesNotMatch(JSON.stringify(info.Warnings ?? []), /AppArmor/);
  });

  test("a container and its execs are confined by it, seen from outside", async () => {
    const id = await guest.start(["sleep", "100"]);
    assert.equal(await labelOf(await guest.pid(id)), "docker-default (enforce)");
    assert.equal((await inspect(id)).AppArmorProfile, "docker-default");
    const { output } = await guest.exec(id, "cat", "/proc/self/attr/current");
    assert.equal(output.trim(), "docker-default (enforce)");
    await guest.remove(id);
  });

  test("unconfined and privileged containers are not", async () => {
    const free = await guest.start(["sleep", "100"], { SecurityOpt: ["apparmor=unconfined"] });
    const privileged = await guest.start(["sleep", "100"], { Privileged: true });
    for (const id of [free, privileged]) {
      assert.equal(await labelOf(await guest.pid(id)), "unconfined");
      assert.equal((await inspect(id)).AppArmorProfile, "unconfined");
      await guest.remove(id);
    }
  });

  test("it denies mounts and the kernel's files where nothing else would", async () => {
    const attempts = [
      ["mount", "tmpfs", "/tmp"],
      ["write", "/proc/sys/kernel/domainname", "elsewhere"],
      ["write", "/proc/sys/net/ipv4/ip_forward", "1"],
      ["write", "/proc/sysrq-trigger", "h"],
      ["cat", "/sys/firmware/memmap/0/type"],
    ];
    for (const attempt of attempts) {
      const { code, output } = await guest.run(attempt, LOOSE);
      assert.notEqual(code, 0, attempt.join(" "));
      assert.match(output, /Permission denied/, attempt.join(" "));
    }
    for (const attempt of [attempts[0]!, attempts[1]!, attempts[4]!]) {
      const { code, output } = await guest.run(attempt, loose("unconfined"));
      assert.equal(code, 0, `${attempt.join(" ")}: ${output}`);
    }
  });

  test("what programs need it allows: files, their own /proc, shared memory, signals", async () => {
    const { code, output } = await guest.run(
      [
        "seq",
        "write /file x",
        "write /proc/self/oom_score_adj 100",
        "write /dev/shm/x y",
        "bomb 2",
      ],
      LOOSE,
    );
    assert.equal(code, 0, output);
    const shm = await guest.run(["write", "/proc/sys/kernel/shmmax", "65536"], LOOSE);
    assert.equal(shm.code, 0, shm.output);
    const id = await guest.start(["sleep", "100"]);
    const container = guest.daemon.dockerode.getContainer(id);
    await container.stop({ t: 60 });
    assert.equal((await inspect(id)).State.ExitCode, 0, "SIGTERM came through");
    await guest.remove(id);
  });

  test("a profile of the administrator's is entered, and what it denies is denied", async () => {
    const text = `profile ${OWN} flags=(attach_disconnected) {
      file, capability, network, signal, deny /data/** w, }\n`;
    execFileSync("apparmor_parser", ["-r", "-K"], { input: text, stdio: ["pipe", "pipe", "pipe"] });
    const SecurityOpt = [`apparmor=${OWN}`];
    const id = await guest.start(["sleep", "100"], { SecurityOpt });
    assert.equal(await labelOf(await guest.pid(id)), `${OWN} (enforce)`);
    assert.equal((await inspect(id)).AppArmorProfile, OWN);
    assert.match((await guest.exec(id, "write", "/data/x", "y")).output, /Permission denied/);
    assert.equal((await guest.exec(id, "write", "/tmp/x", "y")).code, 0);
    await guest.remove(id);
  });

  test("a profile that is not loaded is refused by name", async () => {
    await assert.rejects(guest.start(["true"], { SecurityOpt: ["apparmor=no-such"] }), {
      message: /AppArmor profile "no-such" is not loaded/,
    });
  });

  test("a default that somebody has unloaded is loaded again at the next start", async () => {
    await writeFile(`${SECURITY}/.remove`, "docker-default");
    assert.doesNotMatch(await profiles(), /^docker-default/m);
    const id = await guest.start(["sleep", "100"]);
    assert.equal(await labelOf(await guest.pid(id)), "docker-default (enforce)");
    await guest.remove(id);
  });

  test("without apparmor_parser there is a warning and no profile", async () => {
    await writeFile(`${SECURITY}/.remove`, "docker-default");
    const path = process.env["PATH"];
    process.env["PATH"] = "/nonexistent";
    try {
      const execRoot = await mkdtemp(join(tmpdir(), "gantry-apparmor-"));
      const warnings: string[] = [];
      const opened = await AppArmor.open({ apparmor: true, execRoot }, silentLogger, (line) =>
        warnings.push(line),
      );
      assert.equal(opened.profile, undefined);
      assert.match(warnings.join(), /apparmor_parser is not installed/);
    } finally {
      process.env["PATH"] = path;
    }
  });
}

export function withoutApparmor(guest: GuestDaemon): void {
  test("a kernel without AppArmor says so, and a profile that is asked for is refused", async () => {
    const info = await guest.daemon.dockerode.info();
    assert.ok(!(info.SecurityOptions as string[]).includes("name=apparmor"));
    const id = await guest.start(["sleep", "100"], { SecurityOpt: ["apparmor=unconfined"] });
    const { AppArmorProfile } = await guest.daemon.dockerode.getContainer(id).inspect();
    assert.equal(AppArmorProfile, "");
    await guest.remove(id);
    await assert.rejects(guest.start(["true"], { SecurityOpt: ["apparmor=docker-default"] }), {
      message: /apparmor is not enabled on this host/,
    });
  });
}
