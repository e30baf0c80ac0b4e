// Images as both clients handle them: names, removal, and round trips through archives, in which
// every digest must come back as it was.

import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { payloadRootfs } from "../../payload/payload.ts";
import { IMAGE, type TestDaemon } from "../harness.ts";

export function imageScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const idOf = (ref: string) => ok("image", "inspect", "-f", "{{.Id}}", ref);

  test("images lists names, ids and sizes as asked", async () => {
    const id = await idOf(IMAGE);
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    assert.equal(await ok("images", "-q", "--no-trunc", "payload"), id);
    assert.equal(await ok("images", "--format", "{{.Repository}}:{{.Tag}}", "payload"), IMAGE);
    assert.match(await ok("images"), /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE/);
    assert.equal(await ok("images", "-q", "--filter", "reference=nothing*"), "");
  });

  test("tag and rmi give and take names; the last one takes the image", async () => {
    await ok("tag", IMAGE, "example.test:5000/team/app:v1");
    assert.equal(await idOf("example.test:5000/team/app:v1"), await idOf(IMAGE));
    const untagged = await ok("rmi", "example.test:5000/team/app:v1");
    assert.equal(untagged, "Untagged: example.test:5000/team/app:v1");
    const archive = join(daemon().folder, "other.tar");
    await writeFile(archive, await payloadRootfs([{ type: "file", name: "other", content: "o" }]));
    const id = await ok("import", archive, "other:1");
    const removed = await ok("rmi", "other:1");
    assert.match(removed, new RegExp(`Untagged: other:1\nDeleted: ${id}`));
    assert.equal((await daemon().client(["image", "inspect", "other:1"])).code, 1);
  });

  test("an image in use is not removed", async () => {
    const id = await ok("create", IMAGE);
    const { code, stderr } = await daemon().client(["rmi", IMAGE]);
    assert.equal(code, 1);
    assert.match(stderr, /conflict: unable to (remove repository reference|delete)/);
    await ok("rm", id);
  });

  test("import takes plain, gzip and zstd, and each gives the same layer", async () => {
    const rootfs = await payloadRootfs([{ type: "file", name: "once", content: "1" }]);
    const layers: string[] = [];
    for (const data of [rootfs, gzipSync(rootfs), zstdCompressSync(rootfs)]) {
      const { code, stdout, stderr } = await daemon().client(["import", "-", "packed:1"], {
        input: data,
      });
      assert.equal(code, 0, stderr);
      layers.push(await ok("image", "inspect", "-f", "{{json .RootFS.Layers}}", stdout.trim()));
    }
    assert.equal(new Set(layers).size, 1);
    await ok("rmi", "-f", "packed:1");
  });

  test("import --change sets what the image runs", async () => {
    const changes = ["-c", "USER app", "-c", "LABEL a=b", "-c", "WORKDIR /data", "-c", "EXPOSE 80"];
    const { code, stderr } = await daemon().client(["import", ...changes, "-", "changed:1"], {
      input: await payloadRootfs(),
    });
    assert.equal(code, 0, stderr);
    const config = JSON.parse(await ok("image", "inspect", "-f", "{{json .Config}}", "changed:1"));
    assert.equal(config.User, "app");
    assert.deepEqual(config.Labels, { a: "b" });
    assert.equal(config.WorkingDir, "/data");
    assert.deepEqual(config.ExposedPorts, { "80/tcp": {} });
    await ok("rmi", "changed:1");
  });

  test("save and load bring back the same image, compressed or not", async () => {
    const archive = join(daemon().folder, "saved.tar");
    await ok("tag", IMAGE, "round:trip");
    const before = await ok("image", "inspect", "-f", "{{.Id}} {{json .RootFS}}", "round:trip");
    await ok("save", "-o", archive, "round:trip");
    assert.ok((await stat(archive)).size > 0);
    const plain = await readFile(archive);
    const packed = [plain, gzipSync(plain), zstdCompressSync(plain)];
    for (const data of packed) {
      await ok("rmi", "round:trip");
      const { code, stdout, stderr } = await daemon().client(["load"], { input: data });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /Loaded image: round:trip/);
      const after = await ok("image", "inspect", "-f", "{{.Id}} {{json .RootFS}}", "round:trip");
      assert.equal(after, before);
    }
    await ok("rmi", "round:trip");
  });

  test("an image that was removed wholly runs again after load", async () => {
    const archive = join(daemon().folder, "whole.tar");
    const rootfs = await payloadRootfs([{ type: "file", name: "mark", content: "whole\n" }]);
    const changes = ["-c", 'CMD ["/bin/cat","/mark"]'];
    await daemon().client(["import", ...changes, "-", "whole:1"], { input: rootfs });
    const id = await idOf("whole:1");
    await ok("save", "-o", archive, "whole:1");
    await ok("rmi", "whole:1");
    await ok("load", "-i", archive);
    assert.equal(await idOf("whole:1"), id);
    assert.equal(await ok("run", "--rm", "--network", "none", "whole:1"), "whole");
    await ok("rmi", "whole:1");
  });

  test("history names the step that made the image", async () => {
    assert.match(await ok("history", IMAGE), /^IMAGE +CREATED +CREATED BY +SIZE +COMMENT/);
  });

  test("broken archives are refused and leave nothing", async () => {
    const all = async () => (await ok("images", "-aq")).split("\n").sort();
    const before = await all();
    const rootfs = await payloadRootfs();
    const bad = [
      rootfs.subarray(0, 100_000),
      Buffer.alloc(4096, "garbage"),
      gzipSync(rootfs).subarray(0, 5000),
    ];
    for (const input of bad) {
      const { code } = await daemon().client(["import", "-", "broken:1"], { input });
      assert.notEqual(code, 0);
    }
    assert.notEqual((await daemon().client(["load"], { input: "not a tar" })).code, 0);
    assert.deepEqual(await all(), before);
  });
}
