// Size limits for real: what a container or a volume may hold ends where it was told to, for it and
// nobody else; nothing stays attached once nobody uses it; limits grow. On this machine's file
// system, which mostly means an image; quotas are tested in the virtual machine.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "../payload/payload.ts";
import { EngineFixture, IMAGE, run, startContainer } from "../support/engine-fixture.ts";

const MAKERS = ["mkfs.ext4", "mkfs.btrfs"];
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
const canLimit =
  existsSync("/dev/loop-control") &&
  FOLDERS.some((folder) => MAKERS.some((name) => existsSync(join(folder, name))));
const skip = canLimit ? false : "no loop devices, or no mkfs.ext4";
const MIB = 1 << 20;

describe("size limits", { skip }, () => {
  let fixture: EngineFixture;
  before(async () => {
    fixture = await EngineFixture.make();
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** The files of this fixture that a loop device has. */
  function attached(): string[] {
    return readdirSync("/sys/block").flatMap((name) => {
      const file = `/sys/block/${name}/loop/backing_file`;
      if (!name.startsWith("loop") || !existsSync(file)) return [];
      const path = readFileSync(file, "utf8").trimEnd();
      return path.includes(fixture.root) ? [path] : [];
    });
  }

  async function nothingAttached(): Promise<void> {
    for (let i = 0; i < 1500 && attached().length > 0; i++) await delay(20);
    assert.deepEqual(attached(), []);
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(fixture.root));
  }

  const sizeOf = (size: string) => ({ StorageOpt: { size } });
  const text = (output: string) => output.trim();

  test("a container fills its own root file system only", async () => {
    const before = await statfs(fixture.root);
    const { stdout } = await run(fixture.engine, ["fill", "/file"], sizeOf("32M"));
    const [written, why] = text(stdout).split(" ");
    assert.match(why!, /ENOSPC|EDQUOT/);
    assert.ok(Number(written) >= 16 && Number(written) < 32, `${written} MiB`);
    await nothingAttached();
    const after = await statfs(fixture.root);
    assert.ok(before.bavail - after.bavail < (512 * MIB) / after.bsize);
  });

  test("what a limited container wrote is there whether it runs or not", async () => {
    const { containers } = fixture.engine;
    const id = await startContainer(fixture.engine, ["sleep"], { hostConfig: sizeOf("32M") });
    const note = await pack([{ type: "file", name: "note", content: "kept" }]);
    await containers.archiveIn(id, "/tmp", Readable.from([note]));
    const running = await containers.changes(id);
    await containers.stop(id, { timeoutSeconds: 0 });
    await nothingAttached();
    assert.deepEqual(await containers.changes(id), running);
    assert.ok(running.some(({ Path }) => Path === "/tmp/note"));
    assert.equal((await containers.statPath(id, "/tmp/note")).size, 4);
    const { id: image } = await containers.commit(id, {
      repo: "limited",
      pause: true,
      changes: [],
    } as never);
    const copy = await fixture.engine.run({
      image,
      command: ["cat", "/tmp/note"],
      hostConfig: { NetworkMode: "none", AutoRemove: true },
    });
    assert.equal(text(copy.stdout), "kept");
    await containers.start(id);
    assert.equal((await containers.statPath(id, "/tmp/note")).size, 4);
    await containers.remove(id, { force: true });
    await nothingAttached();
  });

  test("a limit grows, and what it held stays", async () => {
    const { containers } = fixture.engine;
    const { id } = await containers.create({
      config: { Image: IMAGE, Cmd: ["fill", "/file"] },
      hostConfig: { NetworkMode: "none", ...sizeOf("32M") } as never,
    });
    const note = await pack([{ type: "file", name: "note", content: "kept" }]);
    await containers.archiveIn(id, "/tmp", Readable.from([note]));
    await containers.update(id, { StorageOpt: { size: "96M" } });
    assert.deepEqual((await containers.inspect(id)).hostConfig?.StorageOpt, { size: "96M" });
    await containers.start(id);
    await (await containers.wait(id, "not-running")).done;
    const { size } = await containers.statPath(id, "/file");
    assert.ok(size > 64 * MIB && size < 96 * MIB, `${size}`);
    assert.equal((await containers.statPath(id, "/tmp/note")).size, 4);
    await assert.rejects(containers.update(id, { StorageOpt: { size: "9M" } }), {
      kind: "invalid",
    });
    await containers.remove(id, { force: true });
  });

  test("what cannot be a limit is refused", async () => {
    const { containers } = fixture.engine;
    const create = (StorageOpt: Record<string, string>) =>
      containers.create({
        config: { Image: IMAGE, Cmd: ["true"] },
        hostConfig: { NetworkMode: "none", StorageOpt } as never,
      });
    await assert.rejects(create({ size: "1M" }), { kind: "invalid" });
    await assert.rejects(create({ size: "lots" }), { kind: "invalid" });
    await assert.rejects(create({ color: "red" }), { message: "Unknown option color" });
    const id = await startContainer(fixture.engine, ["sleep"]);
    await assert.rejects(containers.update(id, { StorageOpt: { size: "1G" } }), {
      kind: "conflict",
      message: /made without a size limit/,
    });
    await containers.remove(id, { force: true });
  });

  test("a volume holds what it may, keeps it, and is attached only while it is used", async () => {
    const { volumes } = fixture.engine;
    await volumes.create({ Name: "small", DriverOpts: { size: "32M" } });
    const Binds = ["small:/data"];
    const { stdout } = await run(fixture.engine, ["fill", "/data/file"], { Binds });
    assert.match(text(stdout), /^(1[6-9]|2\d|3[01]) (ENOSPC|EDQUOT)$/);
    await nothingAttached();
    const seed = await run(fixture.engine, ["cat", "/data/seed"], { Binds });
    assert.equal(text(seed.stdout), "seed", "what the image has there came first");
    await volumes.update("small", { DriverOpts: { size: "96M" } });
    const more = await run(fixture.engine, ["fill", "/data/more"], { Binds });
    assert.ok(Number(text(more.stdout).split(" ")[0]) > 32);
    const { Status, Options } = await volumes.inspect("small");
    assert.equal(Status?.["SizeLimit"], 96 * MIB);
    assert.ok((Status?.["SizeUsed"] as number) > 48 * MIB);
    assert.deepEqual(Options, { size: "96M" });
    await assert.rejects(volumes.update("small", { DriverOpts: { color: "red" } }), {
      message: "update small: only size can be changed",
    });
    await volumes.remove("small");
    await nothingAttached();
  });

  test("two containers share a limited volume, and a third looks into it while they stop", async () => {
    const { containers, volumes } = fixture.engine;
    await volumes.create({ Name: "shared", DriverOpts: { size: "32M" } });
    const hostConfig = { Binds: ["shared:/data"] };
    const [one, two] = await Promise.all([
      startContainer(fixture.engine, ["sleep"], { hostConfig }),
      startContainer(fixture.engine, ["sleep"], { hostConfig }),
    ]);
    assert.equal(attached().length, 1);
    const { id: idle } = await containers.create({
      config: { Image: IMAGE, Cmd: ["true"] },
      hostConfig: { NetworkMode: "none", ...hostConfig } as never,
    });
    const note = await pack([{ type: "file", name: "note", content: "both" }]);
    await containers.archiveIn(one, "/data", Readable.from([note]));
    await Promise.all([
      containers.remove(one, { force: true }),
      ...Array.from({ length: 8 }, () => containers.statPath(idle, "/data/note")),
      containers.remove(two, { force: true }),
    ]);
    assert.equal((await containers.statPath(idle, "/data/note")).size, 4);
    await containers.remove(idle);
    await volumes.remove("shared");
    await nothingAttached();
  });

  test("an engine that starts anew finds limits, mounts and half-grown images as they were", async () => {
    const hostConfig = { ...sizeOf("32M"), Binds: ["again:/data"] };
    await fixture.engine.volumes.create({ Name: "again", DriverOpts: { size: "32M" } });
    const id = await startContainer(fixture.engine, ["sleep"], { hostConfig });
    await fixture.close();
    await fixture.open();
    const { containers, volumes } = fixture.engine;
    assert.equal((await containers.statPath(id, "/data/seed")).size, 5);
    await containers.stop(id, { timeoutSeconds: 0 });
    await nothingAttached();
    await containers.start(id);
    assert.equal((await containers.statPath(id, "/data/seed")).size, 5);
    await containers.remove(id, { force: true });
    await volumes.remove("again");
    await nothingAttached();
  });
});
