// Reaching into containers' files: archives in both directions, export, changes, commit; the same
// whether the container runs or not.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { extract } from "tar-stream";
import { pack } from "../payload/payload.ts";
import { EngineFixture, IMAGE, run, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

/** Names and contents of a tar. */
async function unpack(tar: Readable): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const reader = extract();
  tar.pipe(reader);
  for await (const entry of reader) {
    found.set(entry.header.name, (await buffer(entry)).toString());
  }
  return found;
}

const file = (name: string, content: string) =>
  pack([{ type: "file", name, content }]).then((tar) => Readable.from([tar]));

/** A container that runs, and one that has never run, both with a volume at /data. */
async function both(): Promise<string[]> {
  const hostConfig = { NetworkMode: "none", Mounts: [{ Type: "volume", Target: "/data" }] };
  const running = await startContainer(fixture.engine, ["sleep"], { hostConfig });
  const { id: idle } = await fixture.engine.containers.create({
    config: { Image: IMAGE, Cmd: ["true"] },
    hostConfig: hostConfig as never,
  });
  return [running, idle];
}

test("a file goes in and comes out again, in the root and in a volume", async () => {
  const { containers } = fixture.engine;
  for (const id of await both()) {
    for (const folder of ["/tmp", "/data"]) {
      await containers.archiveIn(id, folder, await file("note", `to ${folder}`));
      const { stat, tar } = await containers.archiveOut(id, `${folder}/note`);
      assert.deepEqual([stat.name, stat.size], ["note", `to ${folder}`.length]);
      assert.deepEqual([...(await unpack(tar))], [["note", `to ${folder}`]]);
    }
    const { tar } = await containers.archiveOut(id, "/data/.");
    assert.equal((await unpack(tar)).get("./seed") ?? "missing", "seed\n");
    await containers.remove(id, { force: true, volumes: true });
  }
});

test("a path that is not there, or is no folder, is refused", async () => {
  const { containers } = fixture.engine;
  for (const id of await both()) {
    await assert.rejects(containers.archiveOut(id, "/nosuch"), {
      kind: "not-found",
      message: `Could not find the file /nosuch in container ${id}`,
    });
    await assert.rejects(containers.archiveIn(id, "/etc/passwd", await file("x", "")), {
      kind: "invalid",
      message: "extraction point is not a directory",
    });
    await containers.remove(id, { force: true, volumes: true });
  }
});

test("a symlink in a container leads nowhere outside its root", async () => {
  const { containers } = fixture.engine;
  for (const id of await both()) {
    const links = await pack([
      { type: "symlink", name: "out", linkname: "/../../../../../../etc" },
      { type: "symlink", name: "up", linkname: "../../../../../../../tmp" },
    ]);
    await containers.archiveIn(id, "/tmp", Readable.from([links]));
    const { tar } = await containers.archiveOut(id, "/tmp/out/passwd");
    assert.match(
      (await unpack(tar)).get("passwd") ?? "",
      /^root:x:0:0:root:\/root:\/bin\/payload\n/,
    );
    await containers.archiveIn(id, "/tmp/up", await file("landed", "inside"));
    const landed = await containers.archiveOut(id, "/tmp/landed");
    assert.equal((await unpack(landed.tar)).get("landed"), "inside");
    await containers.remove(id, { force: true, volumes: true });
  }
});

test("nothing is written into a read-only root but on its writable volumes", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["true"] },
    hostConfig: { NetworkMode: "none", ReadonlyRootfs: true, Binds: ["rw:/data", "ro:/tmp:ro"] },
  });
  await containers.archiveIn(id, "/data", await file("x", "y"));
  for (const folder of ["/etc", "/tmp"]) {
    await assert.rejects(containers.archiveIn(id, folder, await file("x", "y")), {
      kind: "forbidden",
    });
  }
  await containers.remove(id);
});

test("changes tell what was added, changed and deleted", async () => {
  const { containers } = fixture.engine;
  const { id } = await fixture.engine.run({
    image: IMAGE,
    command: ["write", "/tmp/new", "x"],
    hostConfig: { NetworkMode: "none" },
  });
  assert.deepEqual(await containers.changes(id), [
    { Path: "/tmp", Kind: 0 },
    { Path: "/tmp/new", Kind: 1 },
  ]);
  await containers.remove(id);
});

test("export writes the root file system without what is mounted in it", async () => {
  const { containers } = fixture.engine;
  for (const id of await both()) {
    const files = await unpack(await containers.export(id));
    assert.equal(files.get("data/seed"), "seed\n");
    assert.equal(files.has("bin/payload"), true);
    assert.equal(
      [...files.keys()].some((name) => /^proc\/./.test(name)),
      false,
    );
    await containers.remove(id, { force: true, volumes: true });
  }
});

test("commit makes an image of a container, with changes of its config", async () => {
  const { containers, images } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep"]);
  await containers.archiveIn(id, "/tmp", await file("kept", "in the image"));
  const committed = await containers.commit(id, {
    repo: "committed",
    tag: "1",
    comment: "with a file",
    pause: true,
    changes: ['CMD ["cat", "/tmp/kept"]', "LABEL a=b"],
  });
  assert.equal((await containers.inspect(id)).state.Status, "running");
  const image = await images.inspect("committed:1");
  assert.equal(image.id, committed.id);
  assert.deepEqual(image.config.config?.Labels, { a: "b" });
  const { stdout } = await fixture.engine.run({
    image: "committed:1",
    hostConfig: { NetworkMode: "none", AutoRemove: true },
  });
  assert.equal(stdout, "in the image");
  await containers.remove(id, { force: true });
  const removed = await images.remove("committed:1");
  assert.deepEqual(removed[0], { Untagged: "committed:1" });
  assert.deepEqual(removed[1], { Deleted: committed.id });
});

test("an image in use is kept until its container is gone", async () => {
  const { containers, images } = fixture.engine;
  for (const { id } of await containers.list({ all: true })) {
    await containers.remove(id, { force: true, volumes: true });
  }
  await images.tag(IMAGE, "used", "1");
  const { id } = await containers.create({
    config: { Image: "used:1", Cmd: ["true"] },
    hostConfig: { NetworkMode: "none" },
  });
  // Another name is left: this one may go.
  assert.deepEqual(await images.remove("used:1"), [{ Untagged: "used:1" }]);
  await assert.rejects(images.remove(IMAGE), {
    kind: "conflict",
    message: new RegExp(
      `^conflict: unable to remove repository reference "${IMAGE}" \\(must force\\) - ` +
        `container ${id.slice(0, 12)} is using its referenced image [0-9a-f]{12}$`,
    ),
  });
  await containers.remove(id);
});

test("anonymous volumes go with -v, named ones stay, prune takes what nobody uses", async () => {
  const { volumes } = fixture.engine;
  const names = async () => (await volumes.list()).volumes.map(({ Name }) => Name);
  const before = await names();
  await run(fixture.engine, ["true"], { Binds: ["/anonymous", "named:/n"] });
  assert.deepEqual(
    (await names()).filter((name) => !before.includes(name)),
    ["named"],
  );
  const { deleted } = await volumes.prune(new Map([["all", ["true"]]]));
  assert.equal(deleted.includes("named"), true);
});
