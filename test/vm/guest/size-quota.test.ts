// Project quotas of XFS and ext4, and images that grow while they are used, which need a kernel and
// capabilities that the host may lack. Each file system is made in a file and is the data root.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../../../src/index.ts";
import { EngineFixture, run, startContainer } from "../../support/engine-fixture.ts";

const MIB = 1 << 20;
const sh = (command: string) => execFileSync("sh", ["-ec", command], { encoding: "utf8" });

interface Kind {
  program: string;
  make: string;
  options: string;
}
const KINDS: Record<string, Kind> = {
  xfs: { program: "mkfs.xfs", make: "mkfs.xfs -q", options: "prjquota" },
  ext4: {
    program: "mkfs.ext4",
    make: "mkfs.ext4 -q -F -O quota,project",
    options: "prjquota",
  },
};
const installed = (program: string) =>
  ["/usr/sbin", "/sbin"].some((folder) => existsSync(join(folder, program)));

/** An engine whose data root is a file system of that kind. */
async function onFileSystem(kind: Kind, work: (fixture: EngineFixture) => Promise<void>) {
  const place = await mkdtemp(join(tmpdir(), "gantry-quota-"));
  const data = join(place, "data");
  sh("modprobe -a loop xfs ext4 quota_v2");
  sh(`truncate -s 512M ${place}/disk && ${kind.make} ${place}/disk && mkdir ${data} &&
    mount -o loop,${kind.options} ${place}/disk ${data}`);
  try {
    await using fixture = await EngineFixture.make({ dataRoot: data });
    await work(fixture);
  } finally {
    sh(`umount ${data}`);
    await rm(place, { recursive: true, force: true });
  }
}

/** How many bytes a container could write to a file, of so many MiB. */
async function filled(engine: Engine, id: string, path: string, most: string): Promise<number> {
  const { containers } = engine;
  const exec = await containers.execCreate(id, { Cmd: ["fill", path, most] });
  await containers.execStart(exec.id, { detach: true, tty: false });
  while ((await containers.execInspect(exec.id)).Running) await delay(20);
  return (await containers.statPath(id, path)).size;
}

for (const [name, kind] of Object.entries(KINDS)) {
  const skip = installed(kind.program) ? false : `no ${kind.program}`;
  describe(`project quotas of ${name}`, { skip }, () => {
    test("containers and volumes end at their limits, which change while they run", async () => {
      await onFileSystem(kind, async ({ engine }) => {
        const size = { StorageOpt: { size: "32M" } };
        const alone = await run(engine, ["fill", "/file"], size);
        assert.match(alone.stdout, /^3[012] (ENOSPC|EDQUOT)/);

        await engine.volumes.create({ Name: "vol", DriverOpts: { size: "32M" } });
        const { Status } = await engine.volumes.inspect("vol");
        assert.equal(Status?.["LimitedBy"], "project quota");
        const Binds = ["vol:/data"];
        const id = await startContainer(engine, ["sleep"], { hostConfig: { ...size, Binds } });
        const fill = (path: string, most: string) => filled(engine, id, path, most);
        assert.ok((await fill("/data/a", "48")) <= 32 * MIB);
        await engine.volumes.update("vol", { DriverOpts: { size: "64M" } });
        assert.ok((await fill("/data/b", "24")) === 24 * MIB);
        await assert.rejects(engine.volumes.update("vol", { DriverOpts: { size: "9M" } }), {
          message: /in use/,
        });
        await engine.containers.update(id, { StorageOpt: { size: "80M" } });
        assert.ok((await fill("/c", "64")) === 64 * MIB);
        const used = (await engine.volumes.inspect("vol")).Status?.["SizeUsed"] as number;
        assert.ok(used > 48 * MIB && used <= 64 * MIB, `${used}`);
        await engine.containers.remove(id, { force: true });
        await engine.volumes.remove("vol");
      });
    });
  });
}

describe("images", { skip: installed("mkfs.ext4") ? false : "no mkfs.ext4" }, () => {
  test("one of ext4 grows while a container writes into it", async () => {
    await using fixture = await EngineFixture.make();
    const { containers } = fixture.engine;
    const hostConfig = { StorageOpt: { size: "32M" } };
    const id = await startContainer(fixture.engine, ["sleep"], { hostConfig });
    await containers.update(id, { StorageOpt: { size: "128M" } });
    assert.equal(await filled(fixture.engine, id, "/f", "80"), 80 * MIB);
    await containers.remove(id, { force: true });
  });
});
