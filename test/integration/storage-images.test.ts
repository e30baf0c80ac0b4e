// Images, snapshots and image archives on the real kernel, and what a crash leaves behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PassThrough } from "node:stream";
import { after, beforeEach, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { GantryError, kindOf } from "../../src/base/index.ts";
import type { Native } from "../../src/native/index.ts";
import { digestOf, hexOf } from "../../src/spec/index.ts";
import {
  type ImportOptions,
  importRootfs,
  loadArchive,
  openStorage,
  saveArchive,
} from "../../src/storage/index.ts";
import { rawTar } from "../support/raw-tar.ts";
import {
  bytesOf,
  type StorageFixture,
  sharedImage,
  storageFixture,
  streamOf,
} from "../support/storage-fixture.ts";

const amd64 = { os: "linux", architecture: "amd64" };
let fixture: StorageFixture;
beforeEach(async () => {
  await fixture?.close();
  fixture = await storageFixture();
});
after(() => fixture.close());

function importTar(tar: Uint8Array, options: Partial<ImportOptions> = {}): Promise<string> {
  return importRootfs(fixture.storage, streamOf(tar), {
    platform: amd64,
    ...options,
  });
}

function rootfs(mark = "x"): Buffer {
  return rawTar(
    { name: "etc/", type: "5", mode: 0o755 },
    { name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n" },
    { name: "etc/resolv.conf", type: "2", link: "../run/resolv.conf" },
    { name: "bin/", type: "5", mode: 0o755 },
    { name: "bin/sh", content: `#!${mark}`, mode: 0o755 },
  );
}

/** Nothing of an image is on disk any more. */
async function assertEmpty(): Promise<void> {
  for (const folder of ["layers", "blobs/sha256", "trash", "ingest", "containers", "inits"]) {
    assert.deepEqual(await fixture.names(folder), [], folder);
  }
}

test("an import has docker's config, and its id is the digest of it", async () => {
  const id = await importTar(gzipSync(rootfs()), {
    config: { Cmd: ["sh"], Env: ["A=b"] },
    message: "from a test",
  });
  const image = fixture.storage.images.get(id)!;
  assert.equal(digestOf(image.rawConfig), id);
  const created = image.config.created;
  assert.deepEqual(image.config.history, [{ created, comment: "from a test" }]);
  assert.deepEqual(image.config.config?.Cmd, ["sh"]);
  assert.deepEqual(image.config.config?.Env, ["A=b"]);
  assert.deepEqual(image.config.rootfs.diff_ids, [digestOf(rootfs())]);
  assert.equal(image.layers[0]?.size, 26 + 3);
  assert.deepEqual(await fixture.storage.content.read(id), Buffer.from(image.rawConfig));
});

test("what is not an archive, or wrongly compressed, is refused and leaves nothing", async () => {
  const cut = gzipSync(rootfs()).subarray(0, -20);
  await assert.rejects(importTar(cut), { kind: "corrupt", message: "unexpected EOF" });
  await assert.rejects(importTar(zstdCompressSync(rootfs()).subarray(0, -20)), {
    kind: "corrupt",
  });
  const damaged = gzipSync(randomBytes(5000));
  damaged[200]! ^= 0xff;
  await assert.rejects(importTar(damaged), { kind: "corrupt" });
  const xz = Buffer.from("fd377a585a000000", "hex");
  await assert.rejects(importTar(xz), (error) =>
    ["corrupt", "unavailable"].includes(kindOf(error)),
  );
  await assertEmpty();
});

test("names resolve by tag, digest, id and unambiguous prefix", async () => {
  const ids = [];
  for (let n = 0; n < 20; n++) ids.push(await importTar(rootfs(), { message: `${n}` }));
  const { images } = fixture.storage;
  const [id] = ids as [string];
  await images.tag(id, "alpine:3.20");
  await images.tag(id, `example.com/a@sha256:${"1".repeat(64)}`);
  for (const name of [
    "alpine:3.20",
    "docker.io/library/alpine:3.20",
    id,
    hexOf(id),
    hexOf(id).slice(0, 12),
    `example.com/a@sha256:${"1".repeat(64)}`,
    `alpine@${id}`,
  ]) {
    assert.equal(images.resolve(name)?.id, id, name);
  }
  for (const name of ["alpine", "alpine:3.21", "b", `other@${id}`, "Bad Name"]) {
    if (name !== "b") assert.equal(images.resolve(name), undefined, name);
  }
  // 20 ids and 16 first digits: two must begin alike.
  const digits = ids.map((one) => hexOf(one)[0]!);
  const twice = digits.find((digit, at) => digits.indexOf(digit) !== at)!;
  assert.throws(() => images.resolve(twice), { kind: "invalid", message: /ambiguous/ });
});

test("a tag moves from image to image, and survives a restart", async () => {
  const first = await importTar(rootfs("1"));
  const second = await importTar(rootfs("2"));
  await fixture.storage.images.tag(first, "app");
  await fixture.storage.images.tag(second, "app");
  const { images } = await fixture.reopen();
  assert.deepEqual(images.get(first)?.references, []);
  assert.deepEqual(images.get(second)?.references, ["docker.io/library/app:latest"]);
  await images.untag("app");
  assert.equal(images.resolve("app"), undefined);
  await assert.rejects(images.untag("app"), { kind: "not-found" });
});

test("removing an image deletes what nothing else uses, and only that", async () => {
  const { storage } = fixture;
  const first = await importTar(rootfs(), { message: "1" });
  const second = await importTar(rootfs(), { message: "2" });
  await storage.snapshots.prepare("c1", storage.images.get(first)!.config.rootfs.diff_ids);
  assert.deepEqual(await storage.images.remove(first), []);
  const chains = await storage.images.remove(second);
  assert.deepEqual(chains, [digestOf(rootfs())]);
  assert.equal(storage.layers.list().length, 1); // the container stands on it
  await storage.snapshots.remove("c1");
  await assertEmpty();
});

test("a lease keeps layers; what nothing else needs goes when it is released", async () => {
  const { storage } = fixture;
  const lease = storage.lease();
  const { diffId } = await storage.layers.apply(streamOf(rootfs()), { lease });
  await storage.collect();
  assert(storage.layers.get(diffId));
  await lease.release();
  await assertEmpty();
});

/** Mounts a snapshot, runs a shell script in it, and unmounts. */
async function inside(id: string, script: string): Promise<void> {
  const mount = fixture.storage.snapshots.get(id)!;
  const target = join(fixture.root, "merged");
  mkdirSync(target, { recursive: true });
  const options = `lowerdir=${mount.lowerDirs.join(":")},upperdir=${mount.upperDir},workdir=${mount.workDir}`;
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, target]);
  try {
    execFileSync("sh", ["-ec", script], { cwd: target });
  } finally {
    execFileSync("umount", [target]);
  }
}

test("a container begins with mount points that diff does not show", async () => {
  const id = await importTar(rootfs());
  const { snapshots } = fixture.storage;
  const mount = await snapshots.prepare(
    "c1",
    fixture.storage.images.get(id)!.config.rootfs.diff_ids,
  );
  assert.equal(mount.lowerDirs.length, 2);
  await inside(
    "c1",
    `test -f .dockerenv; test -f etc/hosts; test -c dev/console || test -f dev/console
     test -d proc; test -d sys; test -d dev/shm
     test ! -L etc/resolv.conf; test -f etc/resolv.conf
     test "$(readlink etc/mtab)" = /proc/mounts
     test "$(stat -c %a etc)" = 755`,
  );
  assert.deepEqual(await fixture.files.changes(mount), []);
  await inside(
    "c1",
    `echo more >> etc/passwd; rm bin/sh; mkdir new; echo hi > new/file
     rm -r etc; mkdir etc; echo own > etc/own`,
  );
  const changes = await fixture.files.changes(mount);
  const shown = changes.map(({ kind, path }) => `${kind} ${path}`);
  assert.deepEqual(
    shown.filter((line) => !/hosts|hostname|mtab|resolv/.test(line)),
    ["C /bin", "D /bin/sh", "C /etc", "A /etc/own", "D /etc/passwd", "A /new", "A /new/file"],
  );
  const { bytes, inodes } = await snapshots.usage("c1");
  assert.equal(bytes, 3 + 4);
  assert(inodes >= 6);
});

test("two hundred layers stack, and the topmost wins", async () => {
  const { files, storage } = fixture;
  const lease = storage.lease();
  const diffIds: string[] = [];
  for (let n = 0; n < 200; n++) {
    const tar = rawTar({ name: "same", content: `${n}` }, { name: `own${n}`, content: "x" });
    diffIds.push((await storage.layers.apply(streamOf(tar), { lease })).diffId);
  }
  const rootfs = await storage.snapshots.prepare("tall", diffIds);
  const source = { kind: "mount", rootfs } as const;
  assert.equal((await files.stat(source, "/own0")).size, 1);
  assert((await bytesOf(files.tar(source, "/same"))).includes("199"));
  await files.untar(source, "/", streamOf(rawTar({ name: "new", content: "x" })));
  const changes = await files.changes(rootfs);
  assert.deepEqual(changes, [{ kind: "A", path: "/new" }]);
  lease.release();
});

test("a layer with an opaque root hides everything beneath it", async () => {
  const { files, storage } = fixture;
  const lease = storage.lease();
  const below = await storage.layers.apply(streamOf(rawTar({ name: "old", content: "" })), {
    lease,
  });
  const opaque = rawTar({ name: ".wh..wh..opq", content: "" }, { name: "new", content: "" });
  const above = await storage.layers.apply(streamOf(opaque), { lease });
  const rootfs = await storage.snapshots.prepare("c1", [below.diffId, above.diffId]);
  const source = { kind: "mount", rootfs } as const;
  await files.stat(source, "/new");
  await assert.rejects(files.stat(source, "/old"), { kind: "not-found" });
  lease.release();
});

test("commit captures the changes as a layer that gives the same files", async () => {
  const base = await importTar(rootfs());
  const { layers, snapshots } = fixture.storage;
  const diffIds = fixture.storage.images.get(base)!.config.rootfs.diff_ids;
  const mount = await snapshots.prepare("c1", diffIds);
  await inside("c1", "rm etc/passwd; echo new > bin/new; rm -r bin/sh");
  const layer = await layers.capture(mount.upperDir);
  await snapshots.prepare("c2", [...diffIds, layer.diffId]);
  await inside("c2", "test ! -e etc/passwd; test ! -e bin/sh; test -f bin/new; test -f etc/hosts");
});

test("the files of a stopped container can be read, written and copied", async () => {
  const id = await importTar(rootfs());
  const { files, storage } = fixture;
  const mount = await storage.snapshots.prepare(
    "c1",
    storage.images.get(id)!.config.rootfs.diff_ids,
  );
  const source = { kind: "mount", rootfs: mount } as const;
  await files.untar(source, "/etc", streamOf(rawTar({ name: "motd", content: "hello", uid: 7 })));
  const stat = await files.stat(source, "/etc/motd");
  assert.deepEqual([stat.size, stat.uid, stat.mode & 0o777], [5, 7, 0o644]);
  await files.untar(source, "/", streamOf(rawTar({ name: "l", type: "2", link: "/etc/motd" })));
  assert.equal((await files.stat(source, "/l")).linkTarget, "/etc/motd");
  assert.equal((await files.stat(source, "/l", { follow: true })).size, 5);
  await assert.rejects(files.stat(source, "/none"), { kind: "not-found" });
  const tar = await bytesOf(files.tar(source, "/etc", { name: "renamed" }));
  const names = execFileSync("tar", ["-tf", "-"], { input: tar }).toString().split("\n");
  assert(names.includes("renamed/motd") && names.includes("renamed/"));
  const all = execFileSync("tar", ["-tf", "-"], { input: await bytesOf(files.export(source)) });
  assert(all.toString().split("\n").includes("bin/sh"));
  const copy = join(fixture.root, "volume");
  mkdirSync(copy);
  assert.equal((await files.copyOut(source, "/etc", copy, { ifEmpty: true })).entries > 2, true);
  assert.equal(readFileSync(join(copy, "motd"), "utf8"), "hello");
  assert.equal(statSync(join(copy, "motd")).uid, 7);
  assert.equal((await files.copyOut(source, "/etc", copy, { ifEmpty: true })).entries, 0);
  const clash = files.untar(source, "/", streamOf(rawTar({ name: "etc", content: "file" })), {
    keepKind: true,
  });
  await assert.rejects(clash, { message: /cannot overwrite directory "\/etc" with non-directory/ });
});

test("volumes of a stopped container are part of its files for cp", async () => {
  const id = await importTar(rootfs());
  const { files, storage } = fixture;
  const mount = await storage.snapshots.prepare(
    "c1",
    storage.images.get(id)!.config.rootfs.diff_ids,
  );
  const volume = join(fixture.root, "volume");
  mkdirSync(volume);
  const volumes = [{ source: volume, target: "/bin" }];
  const source = { kind: "mount", rootfs: mount, volumes } as const;
  await files.untar(source, "/bin", streamOf(rawTar({ name: "f", content: "in the volume" })));
  assert.equal(readFileSync(join(volume, "f"), "utf8"), "in the volume");
  assert.equal((await files.stat(source, "/bin/f")).size, 13);
  assert(!existsSync(join(mount.upperDir, "bin/f")));
  const tar = await bytesOf(files.export(source));
  const names = execFileSync("tar", ["-tf", "-"], { input: tar }).toString().split("\n");
  assert(names.includes("bin/") && !names.includes("bin/f")); // an export stops at mounts
});

for (const compress of ["none", "gzip", "zstd"] as const) {
  test(`save and load give the same image, compressed with ${compress}`, async () => {
    const { storage } = fixture;
    const id = await importTar(rootfs());
    await storage.images.tag(id, "alpine:3.20");
    const image = storage.images.get(id)!;
    const request = { image, references: image.references };
    const archive = await bytesOf(saveArchive(storage, [request]));
    assert.deepEqual(await bytesOf(saveArchive(storage, [request])), archive);
    execFileSync("tar", ["-tf", "-"], { input: archive });
    await storage.images.remove(id);
    await assertEmpty();
    const packed = { none: archive, gzip: gzipSync(archive), zstd: zstdCompressSync(archive) };
    const loaded = await loadArchive(storage, streamOf(packed[compress]));
    assert.deepEqual(loaded, [{ id, references: ["docker.io/library/alpine:3.20"] }]);
    assert.equal(storage.images.resolve("alpine:3.20")?.id, id);
    assert(storage.images.get(id)?.manifest);
    assert.deepEqual(await loadArchive(storage, streamOf(archive)), loaded); // again is nothing new
    assert.equal((await fixture.names("layers")).length, 1);
  });
}

test("what save writes is a sound OCI layout too", async () => {
  const { storage } = fixture;
  const id = await importTar(rootfs());
  await storage.images.tag(id, "example.com/team/app:1");
  await storage.images.tag(id, "app:2");
  const image = storage.images.get(id)!;
  const layout = join(fixture.root, "layout");
  mkdirSync(layout);
  const input = await bytesOf(saveArchive(storage, [{ image, references: image.references }]));
  execFileSync("tar", ["-xf", "-", "-C", layout], { input });
  const oci = ["blobs", "index.json", "oci-layout"];
  const archive = execFileSync("tar", ["-cf", "-", "-C", layout, ...oci]);
  await storage.images.remove(id);
  const loaded = await loadArchive(storage, streamOf(archive));
  assert.deepEqual(loaded, [
    { id, references: ["docker.io/library/app:2", "example.com/team/app:1"] },
  ]);
});

/** A config and its layer, as other tools write them. */
function imageParts(): { layer: Buffer; config: Buffer; diffId: string } {
  const layer = rootfs();
  const diffId = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({ ...amd64, rootfs: { type: "layers", diff_ids: [diffId] } }),
  );
  return { layer, config, diffId };
}

test("the archives of old docker versions load, with links between layers", async () => {
  const { layer, config } = imageParts();
  const name = `${hexOf(digestOf(config))}.json`;
  const manifest = [{ Config: name, RepoTags: ["old:1"], Layers: ["b/layer.tar"] }];
  const archive = rawTar(
    { name: "a/", type: "5" },
    { name: "a/VERSION", content: "1.0" },
    { name: "a/json", content: "{}" },
    { name: "a/layer.tar", content: layer },
    { name: "b/layer.tar", type: "2", link: "../a/layer.tar" },
    { name, content: config },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  );
  const loaded = await loadArchive(fixture.storage, streamOf(archive));
  assert.deepEqual(loaded, [{ id: digestOf(config), references: ["docker.io/library/old:1"] }]);
});

test("a layer of no bytes at all is saved and loaded", async () => {
  const { storage } = fixture;
  const { layer, diffId } = imageParts();
  const nothing = Buffer.alloc(0);
  const diff_ids = [diffId, digestOf(nothing)];
  const config = JSON.stringify({ ...amd64, rootfs: { type: "layers", diff_ids } });
  const id = digestOf(Buffer.from(config));
  const Layers = ["full.tar", "empty.tar"];
  const manifest = [{ Config: "config.json", RepoTags: ["empty:1"], Layers }];
  const archive = rawTar(
    { name: "config.json", content: config },
    { name: "full.tar", content: layer },
    { name: "empty.tar", content: nothing },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  );
  const loaded = await loadArchive(storage, streamOf(archive));
  assert.deepEqual(loaded, [{ id, references: ["docker.io/library/empty:1"] }]);
  const image = storage.images.get(id)!;
  const saved = await bytesOf(saveArchive(storage, [{ image, references: image.references }]));
  await storage.images.remove(id);
  await assertEmpty();
  assert.deepEqual(await loadArchive(storage, streamOf(saved)), loaded);
});

/** An OCI layout with one image; `tamper` may change its files. */
function ociLayout(
  compress: (data: Buffer) => Buffer,
  tamper: (files: Map<string, Buffer>) => void = () => {},
): Buffer {
  const { layer, config } = imageParts();
  const files = new Map<string, Buffer>();
  const blob = (data: Buffer) => {
    files.set(`blobs/sha256/${hexOf(digestOf(data))}`, data);
    return { digest: digestOf(data), size: data.length };
  };
  const manifest = blob(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...blob(config) },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...blob(compress(layer)) }],
      }),
    ),
  );
  const descriptor = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    ...manifest,
    platform: amd64,
    annotations: { "org.opencontainers.image.ref.name": "example.com/oci:2" },
  };
  const inner = blob(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor] })));
  const index = { mediaType: "application/vnd.oci.image.index.v1+json", ...inner };
  files.set("index.json", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [index] })));
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  tamper(files);
  return rawTar(...[...files].map(([name, content]) => ({ name, content })));
}

test("OCI layouts load, with nested indexes and compressed layers", async () => {
  const { config, diffId } = imageParts();
  for (const compress of [gzipSync, zstdCompressSync]) {
    const loaded = await loadArchive(fixture.storage, streamOf(ociLayout(compress)));
    const [{ index, ...image } = { index: undefined }] = loaded;
    assert.deepEqual(image, { id: digestOf(config), references: ["example.com/oci:2"] });
    const named = fixture.storage.images.resolve("example.com/oci:2");
    assert.equal(named?.indexes.get("example.com/oci:2"), index);
    assert.ok(named?.documents.some(({ digest }) => digest === index));
    const blob = digestOf(compress(rootfs()));
    assert.equal(fixture.storage.layers.byBlob(blob)?.diffId, diffId);
  }
  const other = loadArchive(fixture.storage, streamOf(ociLayout(gzipSync)), {
    platforms: [{ os: "linux", architecture: "arm64" }],
  });
  await assert.rejects(other, { kind: "not-found", message: /no image for linux\/arm64/ });
});

test("image archives that lie are refused and leave nothing behind", async () => {
  const { layer, config } = imageParts();
  const docker = (manifest: unknown, ...more: { name: string; content: Buffer }[]) =>
    rawTar({ name: "l.tar", content: layer }, { name: "c.json", content: config }, ...more, {
      name: "manifest.json",
      content: JSON.stringify(manifest),
    });
  const cases: [Buffer, RegExp][] = [
    [rawTar({ name: "l.tar", content: layer }), /does not contain a manifest.json/],
    [docker([{ Config: "c.json", Layers: [] }]), /layers length mismatch/],
    [docker([{ Config: "c.json", Layers: ["../l.tar"] }]), /does not contain the layer/],
    [docker([{ Config: "x.json", Layers: ["l.tar"] }]), /does not contain x.json/],
    [docker([{ Config: "c.json", Layers: ["m.tar"] }]), /does not contain the layer/],
    [docker({ Config: "c.json" }), /not a list/],
    [docker([{ Config: 7 }]), /lacks Config/],
    [docker([{ Config: "c.json", Layers: ["l.tar"], RepoTags: ["Bad Tag"] }]), /invalid reference/],
    [docker([{ Config: "c.json", Layers: ["l.tar"] }]).subarray(0, 2000), /unexpected EOF/],
    [
      ociLayout(gzipSync, (files) => {
        for (const [name, data] of files) {
          if (data.includes("diff_ids")) files.set(name, Buffer.from(`${data} `));
        }
      }),
      /does not have the digest/,
    ],
    [
      ociLayout(gzipSync, (files) => {
        for (const [name, data] of files) {
          if (data[0] === 0x1f) files.set(name, gzipSync(rootfs("other")));
        }
      }),
      /has digest sha256/,
    ],
  ];
  for (const [archive, message] of cases) {
    await assert.rejects(loadArchive(fixture.storage, streamOf(archive)), (error: unknown) => {
      assert(error instanceof GantryError, String(error));
      assert.match(error.message, message);
      return true;
    });
    await assertEmpty();
  }
});

test("an import that its caller abandons leaves nothing behind", async () => {
  const stop = new AbortController();
  const source = new PassThrough();
  source.write(rootfs().subarray(0, 2000));
  const importing = importRootfs(fixture.storage, source, {
    platform: amd64,
    signal: stop.signal,
  });
  setImmediate(() => stop.abort());
  await assert.rejects(importing, { name: "AbortError" });
  await assertEmpty();
});

test("a source that breaks off is reported with its own error", async () => {
  const source = new PassThrough();
  source.write(rootfs().subarray(0, 2000));
  setImmediate(() => source.destroy(new Error("connection lost")));
  await assert.rejects(
    importRootfs(fixture.storage, source, { platform: amd64 }),
    /connection lost/,
  );
  await assertEmpty();
});

test("after a crash nothing half made remains, and everything whole does", async () => {
  const id = await importTar(rootfs());
  const { diff_ids } = fixture.storage.images.get(id)!.config.rootfs;
  await fixture.storage.snapshots.prepare("alive", diff_ids);
  await fixture.storage.snapshots.prepare("forgotten", diff_ids);
  // What a killed daemon may leave: a half unpacked layer, a half written blob, an upper folder
  // without its row, an init layer on the way, something on its way out.
  const rubbish = ["layers/zz/diff/etc", "containers/half/fs/x", "trash/t/x", "inits/zz/fs"];
  for (const path of rubbish) mkdirSync(join(fixture.root, path), { recursive: true });
  writeFileSync(join(fixture.root, "ingest/abc"), "half a blob");
  const orphan = createHash("sha256").update("orphan").digest("hex");
  writeFileSync(join(fixture.root, "blobs/sha256", orphan), "orphan");
  const storage = await fixture.reopen();
  await storage.reconcile({ snapshotIds: new Set(["alive"]) });
  assert.deepEqual(storage.snapshots.list(), ["alive"]);
  assert.deepEqual(await fixture.names("containers"), ["alive"]);
  assert.equal((await fixture.names("layers")).length, 1);
  assert.equal((await fixture.names("inits")).length, 1);
  assert.deepEqual(await fixture.names("blobs/sha256"), [hexOf(id)]);
  for (const folder of ["trash", "ingest"]) assert.deepEqual(await fixture.names(folder), []);
  assert(storage.snapshots.get("alive"));
  const tar = await bytesOf(await storage.layers.tar(diff_ids[0]!));
  assert(tar.equals(rootfs()));
});

test("whichever plan fails, nothing half made is left", async () => {
  const root = join(fixture.root, "other");
  let failed = 0;
  for (let failing = 1; failing < 20; failing++) {
    let calls = 0;
    // Every plan but the sync in the background counts; one of them fails.
    const native: Native = {
      run: (plan, options) => {
        const isSync = plan.host.some((step) => step.op === "open" && step.path === "/dev/null");
        if (!isSync && ++calls === failing) return Promise.reject(new Error("failed on purpose"));
        return fixture.native.run(plan, options);
      },
      create: () => Promise.reject(new Error("unused")),
      openStream: () => fixture.native.openStream(),
      close: async () => {},
    };
    const broken = await openStorage({ root, native });
    try {
      const from = streamOf(rootfs());
      const id = await importRootfs(broken, from, { platform: amd64 });
      await broken.snapshots.prepare("c1", broken.images.get(id)!.config.rootfs.diff_ids);
      await broken.snapshots.usage("c1");
      await broken.snapshots.remove("c1");
      await broken.images.remove(id);
    } catch (error) {
      assert.match(String(error), /failed on purpose/);
      failed++;
    }
    await broken.close();
    const storage = await openStorage({ root, native: fixture.native });
    await storage.reconcile({ snapshotIds: new Set() });
    for (const { id } of storage.images.list()) await storage.images.remove(id);
    await storage.trash.settled();
    for (const folder of ["layers", "blobs/sha256", "trash", "ingest", "containers", "inits"]) {
      assert.deepEqual(await fixture.names(`other/${folder}`), [], `${failing}: ${folder}`);
    }
    await storage.close();
    if (calls < failing) break;
  }
  assert(failed >= 4, `only ${failed} plans`);
});

test("a layer that was not on the disk when the power went is forgotten with its image", async () => {
  const lost = await importTar(rootfs("lost"));
  const kept = await importTar(rootfs("kept"));
  await fixture.storage.images.tag(lost, "lost");
  await fixture.storage.layers.settled();
  const [diffId] = fixture.storage.images.get(lost)!.config.rootfs.diff_ids;
  const database = new DatabaseSync(join(fixture.root, "gantry.db"));
  const waiting = database.prepare("SELECT * FROM layers WHERE unsynced_boot <> ''").all();
  assert.deepEqual(waiting, []);
  // As if it had been written in an earlier boot and never synced.
  database.prepare("UPDATE layers SET unsynced_boot = 'earlier' WHERE diff_id = ?").run(diffId!);
  database.close();
  const storage = await fixture.reopen();
  assert.deepEqual(
    storage.images.list().map(({ id }) => id),
    [kept],
  );
  assert.equal(storage.images.resolve("lost"), undefined);
  await storage.reconcile({ snapshotIds: new Set() });
  assert.equal((await fixture.names("layers")).length, 1);
  assert.deepEqual(await fixture.names("blobs/sha256"), [hexOf(kept)]);
});

test("a native program that is killed in the middle of a layer leaves nothing behind", async () => {
  const source = new PassThrough();
  source.write(rootfs().subarray(0, 2000));
  const applying = fixture.storage.layers.apply(source);
  applying.catch(() => {});
  while ((await fixture.names("layers")).length === 0) await new Promise(setImmediate);
  process.kill(fixture.native.pid!, "SIGKILL");
  await assert.rejects(applying);
  await fixture.restartNative();
  await fixture.storage.reconcile({ snapshotIds: new Set() });
  await assertEmpty();
});

const alpine = sharedImage("alpine-minirootfs-3.20.3-x86_64.tar.gz");
test("a real image imports and its program runs in a snapshot of it", {
  skip: !alpine,
}, async () => {
  const id = await importTar(readFileSync(alpine!));
  const { diff_ids } = fixture.storage.images.get(id)!.config.rootfs;
  await fixture.storage.snapshots.prepare("c1", diff_ids);
  await inside("c1", 'test "$(chroot . /bin/cat /etc/alpine-release)" = 3.20.3');
});
