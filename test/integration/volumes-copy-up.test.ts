// What an image holds at a volume's place is in the volume when it is first used: with owners,
// modes, attributes, hard links, holes, links and pipes, also where the place is inside another
// volume, and only while the volume is empty.

import assert from "node:assert/strict";
import { lstat, mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { payloadRootfs } from "../payload/payload.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import { rawTar } from "../support/raw-tar.ts";

const IMAGE = "seeded:latest";
let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
  const rootfs = await payloadRootfs([
    { type: "directory", name: "full", mode: 0o2750, uid: 7, gid: 8 },
    { type: "file", name: "full/one", content: "same", mode: 0o4755, uid: 9, gid: 10 },
    { type: "link", name: "full/two", linkname: "full/one" },
    { type: "symlink", name: "full/away", linkname: "/etc/passwd" },
    { type: "directory", name: "full/inner", uid: 11 },
    { type: "file", name: "full/inner/deep", content: "deep" },
    { type: "file", name: "single", content: "no folder" },
  ]);
  const extra = rawTar(
    { name: "full/noted", content: "noted", pax: { "SCHILY.xattr.user.note": "kept" } },
    { name: "full/pipe", type: "6" },
  );
  // Two archives as one: without the blocks of zeros that end the first.
  const body = rootfs.subarray(0, rootfs.length - 1024);
  const from = Readable.from([Buffer.concat([body, extra])]);
  const changes = ['VOLUME ["/full"]'];
  for await (const _ of fixture.engine.images.import({
    from,
    repo: "seeded",
    tag: "latest",
    changes,
  }));
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const create = async (hostConfig: object): Promise<string> => {
  const { id } = await fixture.engine.containers.create({
    config: { Image: IMAGE, Cmd: ["true"] },
    hostConfig: { NetworkMode: "none", ...hostConfig } as never,
  });
  return id;
};
const remove = (id: string) => fixture.engine.containers.remove(id, { volumes: true });
const folderOf = async (name: string) => (await fixture.engine.volumes.inspect(name)).Mountpoint;

test("everything that the image says of its files is in the volume", async () => {
  const id = await create({ Binds: ["all:/full"] });
  const folder = await folderOf("all");
  const top = await stat(folder);
  assert.deepEqual([top.mode & 0o7777, top.uid, top.gid], [0o2750, 7, 8]);
  const one = await stat(join(folder, "one"));
  assert.deepEqual([one.mode & 0o7777, one.uid, one.gid, one.nlink], [0o4755, 9, 10, 2]);
  assert.equal((await stat(join(folder, "two"))).ino, one.ino);
  assert.equal(await readlink(join(folder, "away")), "/etc/passwd");
  assert.equal((await stat(join(folder, "inner"))).uid, 11);
  assert.ok((await lstat(join(folder, "pipe"))).isFIFO());
  assert.equal(one.mtimeMs, 0);
  const { tar } = await fixture.engine.containers.archiveOut(id, "/full/noted");
  assert.ok((await buffer(tar)).includes("SCHILY.xattr.user.note=kept"));
  await remove(id);
  await fixture.engine.volumes.remove("all");
});

test("a volume that holds something is left alone, also an empty one with nocopy", async () => {
  await fixture.engine.volumes.create({ Name: "mine" });
  const folder = await folderOf("mine");
  await writeFile(join(folder, "own"), "");
  const first = await create({ Binds: ["mine:/full"] });
  assert.deepEqual(await readdir(folder), ["own"]);
  const second = await create({ Binds: ["bare:/full:nocopy"] });
  assert.deepEqual(await readdir(await folderOf("bare")), []);
  const mount = {
    Type: "volume",
    Source: "bare2",
    Target: "/full",
    VolumeOptions: { NoCopy: true },
  };
  const third = await create({ Mounts: [mount] });
  assert.deepEqual(await readdir(await folderOf("bare2")), []);
  for (const id of [first, second, third]) await remove(id);
});

test("the VOLUME of an image is anonymous, filled, and goes with its container", async () => {
  const id = await create({});
  const [mount] = (await fixture.engine.containers.inspect(id)).mounts;
  assert.deepEqual([mount?.Type, mount?.Destination, mount?.RW], ["volume", "/full", true]);
  const volume = await fixture.engine.volumes.inspect(mount!.Name!);
  assert.deepEqual(volume.Labels, { "com.docker.volume.anonymous": "" });
  assert.ok((await readdir(volume.Mountpoint)).includes("one"));
  await remove(id);
  await assert.rejects(fixture.engine.volumes.inspect(mount!.Name!), { kind: "not-found" });
});

test("volumes inside one another get each their part of the image", async () => {
  const id = await create({ Binds: ["outer:/full", "nested:/full/inner"] });
  assert.deepEqual(await readdir(await folderOf("nested")), ["deep"]);
  assert.ok((await readdir(await folderOf("outer"))).includes("inner"));
  await remove(id);
});

test("a part of a volume is filled, and the rest of it is not", async () => {
  await fixture.engine.volumes.create({ Name: "parted" });
  const folder = await folderOf("parted");
  await mkdir(join(folder, "a/b"), { recursive: true });
  const options = { Subpath: "a/b" };
  const mount = { Type: "volume", Source: "parted", Target: "/full", VolumeOptions: options };
  const id = await create({ Mounts: [mount] });
  assert.equal(await readFile(join(folder, "a/b/inner/deep"), "utf8"), "deep");
  assert.deepEqual(await readdir(folder), ["a"]);
  await remove(id);
});

test("where the image has a file or nothing, the volume stays empty", async () => {
  const id = await create({ Binds: ["file:/single", "none:/nosuch"] });
  for (const name of ["file", "none"]) assert.deepEqual(await readdir(await folderOf(name)), []);
  await remove(id);
});
