// Every operation of a start with every kind of mount is made to fail in turn, and so are the calls
// that mount and unmount volumes: nothing stays mounted that nobody uses, and nothing is lost.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "../../src/base/index.ts";
import { libraryOptions } from "../../src/daemon/library-options.ts";
import { createEngine } from "../../src/daemon/wire-engine.ts";
import type { RunningEngine } from "../../src/engine/index.ts";
import type { Native } from "../../src/native/index.ts";
import { EngineFixture, IMAGE, optionsFor } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";
import { Saboteur } from "../support/saboteur.ts";

let fixture: EngineFixture;
let engine: RunningEngine;
const saboteur = new Saboteur();
/** The next plan with this operation fails there. */
let refused: string | undefined;

const refusing = (native: Native): Native => ({
  ...saboteur.wrap(native),
  run: (plan, options) => {
    const index = plan.host.findIndex(({ op }) => op === refused);
    if (index < 0) return native.run(plan, options);
    refused = undefined;
    return native.run({ ...plan, failAt: { half: "host", index } }, options);
  },
});

before(async () => {
  fixture = await EngineFixture.make();
  await fixture.close();
  const { engine: options, network } = await libraryOptions(optionsFor(fixture.root));
  engine = await createEngine(options, network, silentLogger, { wrapNative: refusing });
});
after(async () => {
  await engine.close();
  await fixture[Symbol.asyncDispose]();
});

const mounts = async (): Promise<string[]> => {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text.split("\n").filter((line) => line.includes(fixture.root));
};
const tmpfs = (Name: string) =>
  engine.volumes.create({ Name, DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=1m" } });
const create = async (hostConfig: object): Promise<string> => {
  const { id } = await engine.containers.create({
    config: { Image: IMAGE, Cmd: ["sleep"] },
    hostConfig: { NetworkMode: "none", ...hostConfig } as never,
  });
  return id;
};

test("whichever operation of a start fails, no mount of any kind is left", async (t) => {
  await tmpfs("fleeting");
  const { Mountpoint } = await engine.volumes.create({ Name: "parted" });
  await mkdir(join(Mountpoint, "part"));
  const bound = join(fixture.root, "bound");
  await mkdir(bound);
  const id = await create({
    Binds: ["fleeting:/f", `${bound}:/b:idmap=33,ro`],
    Mounts: [
      { Type: "volume", Source: "parted", Target: "/p", VolumeOptions: { Subpath: "part" } },
      { Type: "image", Source: IMAGE, Target: "/i" },
      { Type: "image", Source: IMAGE, Target: "/s", ImageOptions: { Subpath: "data" } },
      { Type: "tmpfs", Target: "/t", TmpfsOptions: { Options: [["exec"]] } },
    ],
  });
  const cgroupParent = fixture.options.cgroupParent!;
  const count = await saboteur.failEach(engine, id, async () => ({
    snapshots: (await readdir(join(fixture.root, "data/containers"))).sort(),
    ...(await kernelState({ cgroupParent, marker: fixture.root })),
  }));
  t.diagnostic(`${count} operations failed in turn`);
  assert.deepEqual(await mounts(), []);
  await engine.containers.start(id);
  assert.equal((await mounts()).length, 1);
  await engine.containers.remove(id, { force: true });
  assert.deepEqual(await mounts(), []);
  for (const name of ["fleeting", "parted"]) await engine.volumes.remove(name);
});

test("a mount that fails is told at create, and makes no container", async () => {
  await tmpfs("refused");
  refused = "mount";
  await assert.rejects(create({ Binds: ["refused:/r"] }), {
    message:
      /^error while mounting volume '.*\/refused\/_data': failed to mount local volume: mount tmpfs:/,
  });
  assert.equal(refused, undefined);
  assert.deepEqual(await engine.containers.list({ all: true }), []);
  assert.deepEqual(await mounts(), []);
  const id = await create({ Binds: ["refused:/r"] });
  refused = "mount";
  await assert.rejects(engine.containers.start(id), { message: /failed to mount local volume/ });
  await engine.containers.start(id);
  await engine.containers.remove(id, { force: true });
  await engine.volumes.remove("refused");
});

test("a volume that could not be unmounted is used as it is, and unmounted when it goes", async () => {
  await tmpfs("sticky");
  const id = await create({ Binds: ["sticky:/s"] });
  await engine.containers.start(id);
  refused = "umount";
  await engine.containers.remove(id, { force: true });
  assert.equal(refused, undefined);
  assert.equal((await mounts()).length, 1);
  const again = await create({ Binds: ["sticky:/s"] });
  await engine.containers.start(again);
  assert.equal((await mounts()).length, 1);
  refused = "umount";
  await engine.containers.remove(again, { force: true });
  await engine.volumes.remove("sticky");
  assert.deepEqual(await mounts(), []);
});

test("what somebody unmounted meanwhile is mounted again for the next", async () => {
  await tmpfs("taken");
  const first = await create({ Binds: ["taken:/t"] });
  const second = await create({ Binds: ["taken:/t"] });
  await engine.containers.start(first);
  const { Mountpoint } = await engine.volumes.inspect("taken");
  execFileSync("umount", [Mountpoint]);
  await engine.containers.start(second);
  assert.equal((await mounts()).length, 1);
  for (const id of [first, second]) await engine.containers.remove(id, { force: true });
  assert.deepEqual(await mounts(), []);
  await engine.volumes.remove("taken");
});

test("many at once mount a volume once, and unmount it once", async () => {
  await tmpfs("crowded");
  const ids = await Promise.all(Array.from({ length: 6 }, () => create({ Binds: ["crowded:/c"] })));
  await Promise.all(ids.map((id) => engine.containers.start(id)));
  assert.equal((await mounts()).length, 1);
  await Promise.all(ids.map((id) => engine.containers.remove(id, { force: true })));
  assert.deepEqual(await mounts(), []);
  await engine.volumes.remove("crowded");
});
