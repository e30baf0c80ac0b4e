// Layers on the real kernel: every byte of every kind of tar comes back, all metadata arrives, and
// nothing that an archive says reaches outside its folder or is left behind when it fails.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GantryError } from "../../src/base/index.ts";
import { type Layer, openStorage } from "../../src/storage/index.ts";
import { rawEntry, rawTar, seal } from "../support/raw-tar.ts";
import {
  bytesOf,
  type StorageFixture,
  sharedImage,
  storageFixture,
  streamOf,
} from "../support/storage-fixture.ts";

let fixture: StorageFixture;
before(async () => {
  fixture = await storageFixture({ entriesMax: 5000, bytesMax: 1 << 30 });
});
after(() => fixture.close());

function apply(tar: Uint8Array): Promise<Layer> {
  return fixture.storage.layers.apply(streamOf(tar));
}

/** Applies, checks that the exact bytes come back, and returns the layer. */
async function roundTrip(tar: Uint8Array): Promise<Layer> {
  const layer = await apply(tar);
  const back = await bytesOf(await fixture.storage.layers.tar(layer.diffId));
  assert(back.equals(tar), "the rebuilt tar differs");
  return layer;
}

async function refused(tar: Uint8Array, kind: string, message: RegExp): Promise<void> {
  const before = await fixture.names("layers");
  await assert.rejects(apply(tar), (error: unknown) => {
    assert(error instanceof GantryError, String(error));
    assert.match(error.message, message);
    assert.equal(error.kind, kind);
    return true;
  });
  assert.deepEqual(await fixture.names("layers"), before);
  assert.deepEqual(await fixture.names("trash"), []);
}

/** A tree with one of everything. */
function makeTree(): string {
  const tree = mkdtempSync(join(tmpdir(), "storage-tree-"));
  mkdirSync(join(tree, "a/b"), { recursive: true });
  writeFileSync(join(tree, "a/file"), "hello");
  linkSync(join(tree, "a/file"), join(tree, "a/same"));
  symlinkSync("/etc/passwd", join(tree, "a/link"));
  execFileSync("mkfifo", [join(tree, "pipe")]);
  execFileSync("mknod", [join(tree, "null"), "c", "1", "3"]);
  writeFileSync(join(tree, "a/b/big"), randomBytes(700_001));
  writeFileSync(join(tree, "n".repeat(120)), "long name");
  const deep = join(tree, ...Array.from({ length: 6 }, () => "deep".repeat(12)));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "été"), "long path");
  writeFileSync(join(tree, "sparse"), "start");
  truncateSync(join(tree, "sparse"), 5_000_000);
  writeFileSync(join(tree, "sparse"), "end", { flag: "a" });
  chmodSync(join(tree, "a/file"), 0o4755);
  execFileSync("chown", ["-h", "3000000:3000001", join(tree, "pipe")]);
  utimesSync(join(tree, "a/b/big"), 981_173_106.5, 981_173_106.789);
  utimesSync(join(tree, "a"), 1_115_251_200, 1_115_251_200);
  return tree;
}

const FORMATS: string[][] = [
  ["--format=gnu"],
  ["--format=posix"],
  ["--format=gnu", "--sparse"],
  ["--format=oldgnu", "--sparse"],
  ["--format=posix", "--sparse", "--sparse-version=0.0"],
  ["--format=posix", "--sparse", "--sparse-version=0.1"],
  ["--format=posix", "--sparse", "--sparse-version=1.0"],
];
for (const format of FORMATS) {
  test(`a tar made with ${format.join(" ")} comes back byte for byte, its files intact`, async () => {
    const tree = makeTree();
    try {
      const tar = execFileSync("tar", [...format, "-C", tree, "-cf", "-", "."], {
        maxBuffer: 1 << 26,
      });
      const { dir } = await roundTrip(tar);
      execFileSync("diff", ["-r", "--no-dereference", join(tree, "a"), join(dir, "a")]);
      const list = (at: string) =>
        execFileSync("find", [".", "-mindepth", "1", "-printf", "%p %y %m %U %G %s %l %n\n"], {
          cwd: at,
        })
          .toString()
          .split("\n")
          .filter((line) => !/ d \d+ \d+ \d+ /.test(line) || !line.includes("4096"))
          .sort();
      assert.deepEqual(list(dir), list(tree));
      assert.equal(statSync(join(dir, "a")).mtimeMs, 1_115_251_200_000);
      if (format.includes("--sparse")) {
        const { size, blocks } = statSync(join(dir, "sparse"));
        assert(blocks * 512 < size / 2, "the hole was filled");
      }
    } finally {
      rmSync(tree, { recursive: true });
    }
  });
}

test("archives that end in odd ways come back byte for byte", async () => {
  const entry = rawEntry({ name: "f", content: randomBytes(700) });
  const endings = [0, 512, 1024, 10_240].map((bytes) => Buffer.alloc(bytes));
  endings.push(Buffer.concat([Buffer.alloc(1024), randomBytes(5000), Buffer.alloc(7)]));
  for (const ending of endings) await roundTrip(Buffer.concat([entry, ending]));
  assert.equal((await roundTrip(Buffer.alloc(1024))).size, 0);
  assert.equal((await roundTrip(Buffer.alloc(0))).tarSize, 0);
});

test("entries that later ones overwrite still come back", async () => {
  const { dir } = await roundTrip(
    rawTar(
      { name: "f", content: "first" },
      { name: "f", content: "second, longer" },
      { name: "d/", type: "5" },
      { name: "d/x", content: "inside" },
      { name: "d", content: "now a file" },
      { name: "h", content: "linked" },
      { name: "h2", type: "1", link: "h" },
      { name: "h", type: "2", link: "f" },
      { name: "e", content: "" },
      { name: "e", content: "not empty" },
    ),
  );
  assert.equal(readFileSync(join(dir, "f"), "utf8"), "second, longer");
  assert.equal(readFileSync(join(dir, "d"), "utf8"), "now a file");
  assert.equal(readFileSync(join(dir, "h2"), "utf8"), "linked");
  assert.equal(readlinkSync(join(dir, "h")), "f");
});

test("content behind symlinked folders comes back even when the symlink changes", async () => {
  const { dir } = await roundTrip(
    rawTar(
      { name: "usr/lib/", type: "5" },
      { name: "lib", type: "2", link: "usr/lib" },
      { name: "lib/a", content: "through the link" },
      { name: "usr/lib/a", content: "directly" },
      { name: "lib", type: "5" },
      { name: "lib/a", content: "in the folder" },
    ),
  );
  assert.equal(readFileSync(join(dir, "usr/lib/a"), "utf8"), "directly");
  assert.equal(readFileSync(join(dir, "lib/a"), "utf8"), "in the folder");
});

test("attributes, devices, large ids and fractions of a second arrive and come back", async () => {
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
  const { dir } = await roundTrip(
    rawTar(
      {
        name: "ping",
        mode: 0o6755,
        content: "x",
        pax: {
          mtime: "1234567890.123456789",
          uid: "3000000",
          gid: "4000000000",
          "SCHILY.xattr.security.capability": capability,
          "SCHILY.xattr.user.note": "with\0zero\nand line",
        },
      },
      { name: "early", content: "", pax: { mtime: "-1.5" } },
      { name: "disk", type: "4", major: 8, minor: 300 },
    ),
  );
  const info = lstatSync(join(dir, "ping"), { bigint: true });
  assert.equal(info.mtimeNs, 1_234_567_890_123_456_789n);
  assert.equal(info.mode & 0o7777n, 0o6755n);
  assert.deepEqual([info.uid, info.gid], [3_000_000n, 4_000_000_000n]);
  assert.equal(lstatSync(join(dir, "early"), { bigint: true }).mtimeNs, -1_500_000_000n);
  const disk = lstatSync(join(dir, "disk"));
  assert(disk.isBlockDevice() && disk.rdev === makedev(8, 300));
  // What is written from the tree carries them too.
  const captured = await fixture.storage.layers.capture(dir);
  const tar = await bytesOf(await fixture.storage.layers.tar(captured.diffId));
  assert(tar.includes(Buffer.concat([Buffer.from("security.capability="), capability])));
  assert(tar.includes("user.note=with\0zero\nand line"));
  assert(tar.includes("mtime=1234567890.123456789") && tar.includes("mtime=-1.5"));
  assert(tar.includes("gid=4000000000"));
});

function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

test("whiteouts become overlay's, and overlay's become whiteouts again", async () => {
  const { dir } = await roundTrip(
    rawTar(
      { name: "etc/", type: "5" },
      { name: "etc/.wh.passwd", content: "" },
      { name: "opt/", type: "5" },
      { name: "opt/.wh..wh..opq", content: "" },
      { name: "opt/kept", content: "k" },
      { name: ".wh..wh.plnk", content: "" },
      { name: "both/", type: "5" },
      { name: ".wh.both", content: "" },
    ),
  );
  const gone = lstatSync(join(dir, "etc/passwd"));
  assert(gone.isCharacterDevice() && gone.rdev === 0);
  assert(!existsSync(join(dir, ".wh..wh.plnk")));
  const captured = await fixture.storage.layers.capture(dir);
  const tar = await bytesOf(await fixture.storage.layers.tar(captured.diffId));
  for (const name of ["etc/.wh.passwd", "opt/.wh..wh..opq", "both/.wh..wh..opq"]) {
    assert(tar.includes(`${name}\0`), `${name} is missing`);
  }
  assert(!tar.includes("both\0.wh."));
});

test("what leads outside is refused, or stays inside, and nothing is left behind", async () => {
  const outside = mkdtempSync(join(tmpdir(), "storage-outside-"));

  try {
    const up = "../".repeat(12) + outside.slice(1);
    await refused(rawTar({ name: `${up}/x`, content: "x" }), "invalid", /outside of the root/);
    await refused(rawTar({ name: "a/../../x", content: "x" }), "invalid", /outside of the root/);
    await refused(
      rawTar({ name: "l", type: "1", link: "../../../etc/passwd" }),
      "invalid",
      /invalid hardlink "l"/,
    );
    // Absolute names and links are taken from the root of the layer, as in docker.
    const { dir } = await roundTrip(
      rawTar(
        { name: `${outside}/abs`, content: "inside" },
        { name: "out", type: "2", link: outside },
        { name: "out/through", content: "inside too" },
        { name: "up", type: "2", link: `../../../../../..${outside}` },
        { name: "up/again", content: "and this" },
        { name: "hard", type: "1", link: `${outside}/abs` },
      ),
    );
    assert.equal(readFileSync(join(dir, outside, "again"), "utf8"), "and this");
    assert.equal(readFileSync(join(dir, "hard"), "utf8"), "inside");
    execFileSync("rmdir", [outside]); // still empty
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
});

test("overlay attributes in an archive are ignored", async () => {
  const pax = { "SCHILY.xattr.trusted.overlay.redirect": "/etc" };
  const { dir } = await roundTrip(rawTar({ name: "d/", type: "5", pax }));
  const captured = await fixture.storage.layers.capture(dir); // refuses redirected folders
  assert.equal(captured.size, 0);
});

test("an archive without the zeros after its last content is whole, and is rebuilt as it came", async () => {
  const good = rawTar({ name: "f", content: randomBytes(5000) });
  await roundTrip(good.subarray(0, 5512));
  await roundTrip(good.subarray(0, 5600));
});

test("damaged and cut archives are refused with the reason", async () => {
  const good = rawTar({ name: "f", content: randomBytes(5000) });
  await refused(good.subarray(0, 3000), "corrupt", /unexpected EOF/);
  await refused(good.subarray(0, 300), "corrupt", /unexpected EOF/);
  await refused(good.subarray(0, 5511), "corrupt", /unexpected EOF/);
  await refused(
    rawTar({ name: "f", content: "x", badChecksum: true }),
    "corrupt",
    /invalid tar header/,
  );
  await refused(randomBytes(4096), "corrupt", /invalid tar header/);
  const liar = rawEntry({ name: "f", content: "x", size: 8 ** 11 - 1 });
  await refused(liar, "invalid", /unpacks to more than/);
  const pax = rawEntry({ name: "pax", type: "x", content: "9999 path=x\n" });
  await refused(Buffer.concat([pax, good]), "corrupt", /invalid tar header/);
  const long = rawEntry({ name: "L", type: "L", size: 1 << 21 });
  await refused(long, "corrupt", /too long/);
  await refused(rawTar({ name: "f", type: "M" }), "corrupt", /unhandled tar header type/);
  await refused(rawTar({ name: ".wh...", content: "" }), "corrupt", /invalid whiteout/);
});

test("archives beyond a limit are refused: entries, bytes, sparse bombs", async () => {
  const many = Array.from({ length: 5001 }, (_, n) => ({ name: `f${n}`, content: "" }));
  await refused(rawTar(...many), "invalid", /more than 5000 entries/);
  const bomb = rawEntry({
    name: "GNUSparse/f",
    content: Buffer.alloc(512, "0\n"),
    pax: {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "f",
      "GNU.sparse.realsize": String(2 ** 50),
    },
  });
  await refused(bomb, "invalid", /unpacks to more than/);
});

test("long runs of zeros cost no disk and come back", async () => {
  const content = Buffer.alloc(8 << 20);
  content.write("middle", 3 << 20);
  const tar = rawTar({ name: "zeros", content }, { name: "all", content: Buffer.alloc(1 << 20) });
  const { dir } = await roundTrip(tar);
  assert(readFileSync(join(dir, "zeros")).equals(content));
  assert.equal(statSync(join(dir, "all")).size, 1 << 20);
  assert(statSync(join(dir, "zeros")).blocks * 512 < 1 << 20);
});

test("sparse maps that lie are refused", async () => {
  const sparse = (map: string, realsize: string) =>
    rawEntry({
      name: "x",
      content: Buffer.concat([Buffer.from(map), Buffer.alloc(512 - map.length)]),
      pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": realsize },
    });
  for (const map of ["1\n0\n100\n", "2\n10\n0\n5\n0\n", "1\n99999999999999999999\n0\n", "x\n"]) {
    await refused(sparse(map, "50"), "corrupt", /invalid sparse file/);
  }
  const old = Buffer.alloc(512);
  rawEntry({ name: "s", type: "S", magic: "ustar  \0" }).copy(old);
  old.write("00000000100\0" + "00000001000\0", 386, "latin1");
  old.write("00000000010\0", 483, "latin1");
  seal(old);
  await refused(old, "corrupt", /invalid sparse file/);
});

test("a full disk is named as such, and what did fit is gone again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "storage-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "none", folder]);
  const storage = await openStorage({ root: join(folder, "data"), native: fixture.native });
  try {
    const fits = rawTar({ name: "f", content: randomBytes(1 << 20) });
    const layer = await storage.layers.apply(streamOf(fits));
    const full = { kind: "exhausted", message: /No space left on device/ };
    const large = rawTar({ name: "f", content: randomBytes(10 << 20) });
    await assert.rejects(storage.layers.apply(streamOf(large)), full);
    // Where the sizes do not tell: inodes and folders take room too.
    const many = Array.from({ length: 4000 }, (_, n) => ({ name: `f${n}`, content: "x" }));
    await assert.rejects(storage.layers.apply(streamOf(rawTar(...many))), full);
    await assert.rejects(storage.content.put(randomBytes(10 << 20)), full);
    assert.deepEqual(storage.layers.list(), [layer]);
    assert.deepEqual(readdirSync(join(folder, "data/layers")), [layer.shortId]);
    for (const name of ["trash", "ingest"])
      assert.deepEqual(readdirSync(join(folder, "data", name)), []);
  } finally {
    await storage.close();
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
  }
});

test("on a full disk a snapshot can be removed, and the disk has room again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "storage-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "none", folder]);
  const root = join(folder, "data");
  let storage = await openStorage({ root, native: fixture.native });
  try {
    for (const id of ["empty", "full"]) {
      const { upperDir } = await storage.snapshots.prepare(id, []);
      if (id === "empty") continue;
      const fill = () => writeFileSync(join(upperDir, "f"), randomBytes(8 << 20));
      assert.throws(fill, { code: "ENOSPC" });
    }
    await storage.close();
    storage = await openStorage({ root, native: fixture.native }); // as after a restart
    await storage.snapshots.remove("empty");
    await storage.snapshots.remove("full");
    assert.deepEqual(storage.snapshots.list(), []);
    assert.deepEqual(readdirSync(join(root, "containers")), []);
    await storage.trash.settled(); // files are deleted behind the answer
    await storage.content.put(randomBytes(1 << 20));
  } finally {
    await storage.close();
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
  }
});

test("a digest that does not match leaves nothing behind", async () => {
  const tar = rawTar({ name: "f", content: randomBytes(100) });
  const diffId = `sha256:${"0".repeat(64)}`;
  const promise = fixture.storage.layers.apply(streamOf(tar), { diffId });
  await assert.rejects(promise, { kind: "corrupt", message: /want sha256:0000/ });
  assert.equal(fixture.storage.layers.get(diffId), undefined);
  assert.deepEqual(await fixture.names("trash"), []);
});

test("one layer is kept once, however often and at once it is applied", async () => {
  const tar = rawTar({ name: "f", content: randomBytes(100_000) });
  const layers = await Promise.all([apply(tar), apply(tar), apply(tar)]);
  assert.equal(new Set(layers.map(({ shortId }) => shortId)).size, 1);
  const again = await fixture.storage.layers.apply(streamOf(tar), { diffId: layers[0]!.diffId });
  assert.deepEqual(again, layers[0]);
});

test("a layer whose file changed on disk is not given out as if it were sound", async () => {
  const tar = rawTar({ name: "f", content: randomBytes(1000) });
  const layer = await apply(tar);
  const file = await open(join(layer.dir, "f"), "r+");
  await file.write("damage", 10);
  await file.close();
  const damaged = bytesOf(await fixture.storage.layers.tar(layer.diffId));
  await assert.rejects(damaged, { kind: "corrupt", message: /damaged on disk/ });
  writeFileSync(join(layer.dir, "f"), "short");
  await assert.rejects(bytesOf(await fixture.storage.layers.tar(layer.diffId)));
});

const alpine = sharedImage("alpine-minirootfs-3.20.3-x86_64.tar.gz");
test("a real root file system comes back byte for byte", { skip: !alpine }, async () => {
  const tar = execFileSync("gzip", ["-dc", alpine!], { maxBuffer: 1 << 26 });
  const { dir } = await roundTrip(tar);
  assert.equal(readlinkSync(join(dir, "bin/ls")), "/bin/busybox");
});

test("a layer that has files of an older one again shares them, and stays when that goes", async () => {
  const { layers } = fixture.storage;
  const entries = [
    { name: "d", type: "5" },
    { name: "d/a", content: "aaa" },
    { name: "d/b", content: "bbb" },
    { name: "d/mode", content: "m" },
    { name: "d/time", content: "t" },
    { name: "d/again", type: "1", link: "d/a" },
  ];
  const older = await apply(rawTar(...entries));
  const changed = entries.map((entry) => {
    if (entry.name === "d/b") return { ...entry, content: "BBB" };
    if (entry.name === "d/mode") return { ...entry, mode: 0o600 };
    return entry.name === "d/time" ? { ...entry, mtime: 5 } : entry;
  });
  const tar = rawTar(...changed);
  // Also said of files whose mode and time differ, and of one that is not there.
  const same = new Uint8Array([0b1111_1101]);
  const twin = { diffId: older.diffId, same };
  const layer = await layers.apply(streamOf(tar), { twin });
  const isShared = (name: string) =>
    statSync(join(older.dir, name)).ino === statSync(join(layer.dir, name)).ino;
  assert.deepEqual(["d/a", "d/b", "d/mode", "d/time"].map(isShared), [true, false, false, false]);
  assert.equal(statSync(join(layer.dir, "d/mode")).mode & 0o777, 0o600);
  assert((await bytesOf(await layers.tar(layer.diffId))).equals(tar));
  await fixture.storage.layers.remove(older.diffId);
  await fixture.storage.trash.settled();
  assert((await bytesOf(await layers.tar(layer.diffId))).equals(tar));
  const unknown = { diffId: older.diffId, same };
  const third = rawTar(...changed, { name: "more" });
  const alone = await layers.apply(streamOf(third), { twin: unknown });
  assert((await bytesOf(await layers.tar(alone.diffId))).equals(third));
});
