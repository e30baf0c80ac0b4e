// SELinux in the kernel, without a policy (../selinux has one): the daemon is asked for labels and
// cannot give any. What labels would change must not break anything.

import assert from "node:assert/strict";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { GuestDaemon } from "../containers.ts";

export const hasSelinux = async (): Promise<boolean> =>
  /\bselinux\b/.test(await readFile("/sys/kernel/security/lsm", "utf8").catch(() => ""));

export function selinux(guest: GuestDaemon): void {
  test("a daemon that is asked for labels says that it gives none, and goes on", async () => {
    const { SecurityOptions, Warnings } = await guest.daemon.dockerode.info();
    assert.ok(!(SecurityOptions as string[]).includes("name=selinux"));
    assert.match(JSON.stringify(Warnings), /selinux-enabled is set, but SELinux is off/);
    assert.match(await guest.daemon.log(), /Docker could not enable SELinux on the host system/);
  });

  test("options of labels are taken as by a docker without labels: nothing changes", async () => {
    const SecurityOpt = ["label=type:container_t", "label=level:s0:c1,c2", "label=disable"];
    const id = await guest.start(["sleep", "100"], { SecurityOpt });
    const container = await guest.daemon.dockerode.getContainer(id).inspect();
    assert.equal(container.ProcessLabel, "");
    assert.equal(container.MountLabel, "");
    const label = await readFile(`/proc/${await guest.pid(id)}/attr/current`, "utf8");
    assert.equal(label.replace(/[\n\0]+$/, ""), "kernel");
    await guest.remove(id);
  });

  test("volumes with :z and :Z are mounted", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gantry-label-"));
    const Binds = [`${folder}:/shared:z`, `${folder}:/private:Z`];
    const { code, output } = await guest.run(["write", "/shared/file", "x"], { Binds });
    assert.equal(code, 0, output);
    assert.equal(await readFile(join(folder, "file"), "utf8"), "x\n");
  });
}
