// Contexts on the real kernel: what a crash leaves is sound, the index of a tar says what unpacking
// it gives, odd tars are unpacked for real, and a mounted context is what the index says.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openContext } from "../../src/engine/build/contexts/index.ts";
import { IndexFiles } from "../../src/engine/build/contexts/index-files.ts";
import { decodeKnown } from "../../src/engine/build/contexts/known-files.ts";
import { TarIndexer } from "../../src/engine/build/contexts/tar-indexer.ts";
import { TooOdd } from "../../src/engine/build/contexts/tree-builder.ts";
import { digestSelection } from "../../src/engine/build/digest.ts";
import { RootSourceFiles } from "../../src/engine/build/root-source.ts";
import { findSelection } from "../../src/engine/build/selection.ts";
import type { SourceFiles } from "../../src/engine/build/source-files.ts";
import { type ContextFixture, contextFixture } from "../support/context-place.ts";
import { type RawEntry, rawTar } from "../support/raw-tar.ts";
import { type StorageFixture, storageFixture, streamOf } from "../support/storage-fixture.ts";

const signal = new AbortController().signal;
const main = { kind: "context", name: "" } as const;
let storage: StorageFixture;
let contexts: ContextFixture;
before(async () => {
  storage = await storageFixture();
  contexts = await contextFixture(storage);
});
after(async () => {
  await contexts.close();
  await storage.close();
});

async function digestOf(files: SourceFiles): Promise<string> {
  const selection = { paths: [{ written: "/", path: "/" }], exclude: [] };
  return await digestSelection(await findSelection(files, selection, { signal }), { signal });
}

test("whatever moment a daemon is killed in, what is known is whole", async () => {
  const dir = mkdtempSync(join(tmpdir(), "killed-"));
  const script = fileURLToPath(new URL("../support/sync-until-killed.ts", import.meta.url));
  try {
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, [script, join(dir, "kept")], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = new Promise((resolve) => child.once("close", resolve));
      let rounds = 0;
      for await (const chunk of child.stdout) {
        rounds += String(chunk).split("synced").length - 1;
        if (rounds > 2 + round) break;
      }
      // Somewhere in the next one.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
      child.kill("SIGKILL");
      await ended;
      const known = decodeKnown(await readFile(join(dir, "kept/index")));
      const pack = readFileSync(join(dir, `kept/pack-${known.packNumber}`));
      assert.equal(known.files.size, 300);
      for (const [path, { node }] of known.files) {
        const bytes = pack.subarray(node.offset, node.offset + node.size);
        assert.equal(createHash("sha256").update(bytes).digest("hex"), node.digest, path);
      }
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

/** Tars of few names, so that entries meet one another. */
function randomTar(): RawEntry[] {
  const pick = <T>(...all: T[]): T => all[Math.floor(Math.random() * all.length)]!;
  const name = () => pick("a", "b", "a/b", "a/b/c", "b/c", "./a", "l", "l/x", "a//c", "c/../b");
  return Array.from({ length: 8 }, (): RawEntry => {
    const type = pick("0", "0", "0", "5", "5", "2", "1", "6");
    const link = type === "2" ? pick("a", "/b", "../a", "nothing") : pick("a", "b/c", "a/b");
    const content = type === "0" ? randomBytes(pick(0, 1, 300)).toString("hex") : "";
    const at = name();
    return { name: type === "5" ? `${at}/` : at, type, link, content, mode: pick(0o644, 0o755) };
  });
}

test("the index of a tar says what the kernel makes of it", async () => {
  let indexed = 0;
  for (let round = 0; round < 500; round++) {
    const entries = randomTar();
    const tar = rawTar(...entries);
    const indexer = new TarIndexer();
    let tree: ReturnType<TarIndexer["end"]> | undefined;
    try {
      indexer.push(tar);
      tree = indexer.end();
    } catch (error) {
      if (!(error instanceof TooOdd)) throw error;
      continue;
    }
    indexed++;
    const { workspace } = await contexts.place();
    const path = await workspace.scratch();
    const source = { kind: "mount", rootfs: { kind: "bind", path } } as const;
    await storage.files.untar(source, "/", streamOf(tar), { owner: { uid: 0, gid: 0 } });
    const real = new RootSourceFiles(storage.files, source);
    const names = (files: SourceFiles) => listed(files);
    const said = await names(new IndexFiles({ tree }));
    assert.deepEqual(said, await names(real), JSON.stringify(entries));
    await workspace.dispose();
  }
  assert(indexed > 20, String(indexed));
});

/** Without the root, whose mode is the folder's that the test unpacks into. */
async function listed(files: SourceFiles): Promise<string[]> {
  const item = { path: "/", isFolder: true, name: "", into: "" };
  const lines: string[] = [];
  for await (const [file, digest] of files.list(item, () => false, { signal })) {
    const { name, type, mode, size, link } = file;
    const shown = type === "2" ? 0o777 : mode;
    if (name !== "") lines.push(JSON.stringify([name, type, shown, size, link, digest]));
  }
  return lines;
}

test("a sparse file and a link through a link are unpacked for real", async () => {
  const sparse = {
    ...{
      name: "sparse",
      content: Buffer.concat([Buffer.from("1\n0\n3\n".padEnd(512, "\0")), Buffer.from("abc")]),
    },
    pax: {
      ...{ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" },
      ...{ "GNU.sparse.name": "sparse", "GNU.sparse.realsize": "10" },
    },
  };
  const tar = rawTar({ name: "plain", content: "plain" }, sparse);
  const place = await contexts.place();
  const bytes = Readable.from([tar], { objectMode: false });
  await openContext(place, { kind: "stream", bytes }, { name: "", signal });
  const read = (path: string) => place.workspace.readFile(main, path, { signal, bytesMax: 1e6 });
  assert.equal((await read("/plain"))?.toString(), "plain");
  assert.deepEqual(await read("/sparse"), Buffer.concat([Buffer.from("abc"), Buffer.alloc(7)]));
});

test("what is mounted is what the index says, and lies inside the build's own folder", async () => {
  const tar = rawTar(
    { name: "d", type: "5", mode: 0o750 },
    { name: "d/f", content: "x".repeat(3000), mode: 0o4711, pax: { "SCHILY.xattr.user.k": "v" } },
    { name: "d/again", type: "1", link: "d/f" },
    { name: "out", type: "2", link: "/etc/passwd" },
    { name: "pipe", type: "6" },
    { name: "tty", type: "3", major: 5, minor: 0 },
  );
  const place = await contexts.place();
  const bytes = Readable.from([tar], { objectMode: false });
  await openContext(place, { kind: "stream", bytes }, { name: "", signal });
  const mount = await place.workspace.mountable(main, { signal });
  assert(mount.kind === "mount" && mount.rootfs.kind === "bind");
  const { path } = mount.rootfs;
  assert(path.startsWith(place.workspace.dir));
  assert.equal(lstatSync(join(path, "d/f")).ino, lstatSync(join(path, "d/again")).ino);
  assert.equal(lstatSync(join(path, "d/f")).mode & 0o7777, 0o4711);
  assert(lstatSync(join(path, "out")).isSymbolicLink());
  assert(lstatSync(join(path, "tty")).isCharacterDevice());
  assert.equal(await place.workspace.mountable(main, { signal }), mount);
  const real = await digestOf(new RootSourceFiles(storage.files, mount));
  assert.equal(await digestOf(place.workspace.files(main)), real);
});

test("a tar that is cut or damaged, and bytes that are none, are refused", async () => {
  const open = async (bytes: Buffer) => {
    const place = await contexts.place();
    const stream = Readable.from([bytes], { objectMode: false });
    return await openContext(place, { kind: "stream", bytes: stream }, { name: "", signal });
  };
  const tar = rawTar({ name: "a", content: "x".repeat(600) });
  await assert.rejects(open(tar.subarray(0, 900)), /unexpected EOF/);
  await assert.rejects(open(rawTar({ name: "../a" })), /outside of the root/);
  await assert.rejects(open(Buffer.alloc(3_000_000, "no tar\n")), /neither a tar nor a Dockerfile/);
});
