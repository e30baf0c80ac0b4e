// Contexts without a kernel: the index of an uploaded tar, of a folder and of a session is one and
// the same for the same files, a client sends only what changed, and what a hostile one says is
// refused before anything comes of it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { paxText, type RawEntry, rawTar } from "../../../../test/support/raw-tar.ts";
import { GantryError, type Logger } from "../../../base/index.ts";
import { digestSelection } from "../digest.ts";
import { findSelection } from "../selection.ts";
import type { ClientFile, ClientFolder } from "../session.ts";
import type { FileTree } from "./file-tree.ts";
import { type IndexedContext, IndexFiles, readIndexed } from "./index-files.ts";
import { KeptContext } from "./kept-context.ts";
import { openLocalFolder } from "./local-folder.ts";
import { compareNames, decodeName, encodeName } from "./names.ts";
import { syncFolder } from "./session-context.ts";
import { TarIndexer } from "./tar-indexer.ts";
import { TooOdd } from "./tree-builder.ts";

const signal = new AbortController().signal;
const warnings: string[] = [];
const log = { warn: (text: string) => warnings.push(text) } as unknown as Logger;
const folders: string[] = [];
const opened: KeptContext[] = [];
after(async () => {
  for (const one of opened) await one.close();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "contexts-"));
  folders.push(folder);
  return folder;
}

interface Entry {
  path: string;
  kind: "file" | "folder" | "symlink" | "hardlink";
  content?: string;
  link?: string;
  mode?: number;
}

/** As a client over memory; counts what is asked for. */
class FakeFolder implements ClientFolder {
  readonly asked: string[] = [];
  finished = false;
  readonly #files: (ClientFile & { content: string })[];

  constructor(files: (Partial<ClientFile> & { path: string; content?: string })[]) {
    this.#files = files.map((file) => ({
      ...{ mode: 0o100644, uid: 0, gid: 0, modifiedNs: 5n, linkname: "", content: "" },
      ...{ devMajor: 0, devMinor: 0, xattrs: new Map(), size: file.content?.length ?? 0 },
      ...file,
    }));
  }

  get entries(): AsyncIterable<ClientFile> {
    const files = this.#files;
    return (async function* () {
      yield* files;
    })();
  }

  async *content(index: number): AsyncGenerator<Uint8Array> {
    const { path, content } = this.#files[index]!;
    this.asked.push(path);
    // In parts, as it comes over a wire.
    for (let at = 0; at < content.length; at += 3000) {
      yield Buffer.from(content.slice(at, at + 3000));
    }
  }

  async finish(): Promise<void> {
    this.finished = true;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

async function kept(): Promise<KeptContext> {
  const context = await KeptContext.open(join(await scratch(), "kept"), log);
  opened.push(context);
  return context;
}

async function sync(context: KeptContext, folder: ClientFolder) {
  return await syncFolder(context, folder, { filter: "", signal });
}

async function digestOf(context: IndexedContext, path = "/", exclude: string[] = []) {
  const selection = { paths: [{ written: path, path }], exclude };
  const found = await findSelection(new IndexFiles(context), selection, { signal });
  return await digestSelection(found, { signal });
}

const text = async (context: IndexedContext, path: string) =>
  (await readIndexed(context, path, { signal, bytesMax: 1e9 }))?.toString();

/** The same tree, other each time. */
function randomTree(random: () => number): Entry[] {
  const entries: Entry[] = [];
  const names = ["a", "b.txt", "é", "z z", "Ω", "-", "x".repeat(120), "𐐷", "\uffee"];
  const folders = [""];
  const used = new Set<string>();
  const regular: string[] = [];
  for (let n = 0; n < 25; n++) {
    const folder = folders[Math.floor(random() * folders.length)]!;
    const name = names[Math.floor(random() * names.length)]!;
    const path = folder === "" ? name : `${folder}/${name}`;
    if (used.has(path) || path.split("/").length > 4) continue;
    used.add(path);
    const kind = random();
    if (kind < 0.3) {
      folders.push(path);
      entries.push({ path, kind: "folder", mode: random() < 0.5 ? 0o755 : 0o711 });
    } else if (kind < 0.4) entries.push({ path, kind: "symlink", link: "../somewhere/é" });
    else if (kind < 0.5 && regular.length > 0) {
      entries.push({ path, kind: "hardlink", link: regular[0]! });
    } else {
      const content = "c".repeat(Math.floor(random() ** 4 * 700_000));
      regular.push(path);
      entries.push({ path, kind: "file", content, mode: random() < 0.5 ? 0o644 : 0o4755 });
    }
  }
  return entries;
}

function asTar(entries: readonly Entry[]): Buffer {
  return rawTar(
    ...entries.map(({ path, kind, content = "", link = "", mode = 0o644 }): RawEntry => {
      const type = { file: "0", hardlink: "1", symlink: "2", folder: "5" }[kind];
      const pax = { path, ...(link && { linkpath: link }) };
      return { name: "x", type, content, mode, pax, uid: 1000 };
    }),
  );
}

function asFolder(root: string, entries: readonly Entry[]): void {
  for (const { path, kind, content = "", link = "", mode = 0o644 } of entries) {
    const at = join(root, path);
    if (kind === "folder") mkdirSync(at);
    else if (kind === "symlink") symlinkSync(link, at);
    else if (kind === "hardlink") linkSync(join(root, link), at);
    else writeFileSync(at, content);
    if (kind === "file" || kind === "folder") {
      chmodSync(at, mode);
      utimesSync(at, 1000, 1000);
    }
  }
}

function indexed(tar: Buffer, chunkBytes: number): FileTree {
  const indexer = new TarIndexer();
  for (let at = 0; at < tar.length; at += chunkBytes) {
    indexer.push(tar.subarray(at, at + chunkBytes));
  }
  return indexer.end();
}

test("an uploaded tar may lack the zeros after its last content, and nothing else", () => {
  const tar = rawTar({ name: "a", content: "x".repeat(600) });
  for (const length of [1112, 1113, 1536]) {
    assert.equal(indexed(tar.subarray(0, length), 100).root.children?.has("a"), true);
  }
  for (const length of [1111, 300]) {
    assert.throws(() => indexed(tar.subarray(0, length), 100), /unexpected EOF/);
  }
});

test("the same files have one digest, as a tar, as a folder and from a session", async () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
  for (let round = 0; round < 12; round++) {
    const entries = randomTree(random);
    const root = await scratch();
    asFolder(root, entries);
    const tar = asTar(entries);
    const fromTar = await digestOf({ tree: indexed(tar, 1 + Math.floor(random() * 9000)) });
    const wish = { include: [], exclude: [], followPaths: [] };
    const context = await kept();
    const fromFolder = await sync(context, await openLocalFolder(root, wish));
    assert.equal(await digestOf(fromFolder), fromTar, JSON.stringify(entries));
    const session = [];
    for await (const file of (await openLocalFolder(root, wish)).entries) {
      const { linkname, path, mode } = file;
      const isFile = (mode & 0o170000) === 0o100000 && linkname === "";
      session.push({ ...file, content: isFile ? await readFile(join(root, path), "utf8") : "" });
    }
    const fromSession = await sync(await kept(), new FakeFolder(session));
    assert.equal(await digestOf(fromSession), fromTar);
    const [first] = entries.filter(({ path }) => !path.includes("/"));
    const without = await digestOf(fromSession, "/", [first!.path]);
    assert.equal(without, await digestOf(fromFolder, "/", [first!.path]));
    assert.notEqual(without, fromTar);
    await fromFolder.release();
    await fromSession.release();
  }
});

test("a client is asked only for what changed, and an unchanged folder is the tree it was", async () => {
  const context = await kept();
  const big = "b".repeat(1_000_000);
  const files = [
    { path: "a", content: "a1" },
    { path: "big", content: big },
    { path: "empty" },
    { path: "folder", mode: 0o40755 },
    { path: "folder/c", content: "c1" },
  ];
  const cold = new FakeFolder(files);
  const first = await sync(context, cold);
  assert.deepEqual(cold.asked.sort(), ["a", "big", "folder/c"]);
  assert(cold.finished);
  assert.equal(await text(first, "folder/c"), "c1");
  assert.equal(await text(first, "big"), big);
  const warm = new FakeFolder(files);
  const second = await sync(context, warm);
  assert.deepEqual(warm.asked, []);
  assert.equal(second.tree, first.tree);
  const changed = new FakeFolder(
    files.map((file) => (file.path === "a" ? { ...file, content: "a2", modifiedNs: 6n } : file)),
  );
  const third = await sync(context, changed);
  assert.deepEqual(changed.asked, ["a"]);
  assert.equal(await text(third, "a"), "a2");
  assert.equal(await text(first, "a"), "a1", "a build that runs keeps its files");
  const mode = files.map((file) => (file.path === "folder" ? { ...file, mode: 0o40700 } : file));
  const fourth = await sync(context, new FakeFolder(mode));
  assert.notEqual(await digestOf(fourth), await digestOf(first));
  for (const one of [first, second, third, fourth]) await one.release();
});

test("what is known outlives the process; a damaged index is begun anew", async () => {
  const dir = join(await scratch(), "kept");
  const files = [
    { path: "a", content: "a", xattrs: new Map([["user.x", Buffer.from([0, 255])]]) },
    { path: "b", content: "b", modifiedNs: -1_500_000_000n, uid: 5, gid: 6 },
    { path: "long", content: "x".repeat(600_000), modifiedNs: 1_700_000_000_123_456_789n },
  ];
  const before = await KeptContext.open(dir, log);
  const first = await sync(before, new FakeFolder(files));
  const digest = await digestOf(first);
  await first.release();
  await before.close();
  const again = await KeptContext.open(dir, log);
  const folder = new FakeFolder(files);
  const second = await sync(again, folder);
  assert.deepEqual(folder.asked, []);
  assert.equal(await digestOf(second), digest);
  assert.equal(await text(second, "long"), "x".repeat(600_000));
  await second.release();
  await again.close();

  const pack = (await readdir(dir)).find((name) => name.startsWith("pack"))!;
  for (const damage of [
    () => truncate(join(dir, pack), 10),
    () => truncate(join(dir, "index"), 100),
    () => writeFile(join(dir, "index"), '{"version":999}'),
  ]) {
    await damage();
    const damaged = await KeptContext.open(dir, log);
    const asked = new FakeFolder(files);
    const third = await sync(damaged, asked);
    assert.equal(asked.asked.length, 3);
    assert.equal(await digestOf(third), digest);
    await third.release();
    await damaged.close();
  }
  assert.equal(warnings.length, 3);
});

test("a transfer that fails leaves nothing that is trusted but whole files", async () => {
  const context = await kept();
  const files = ["a", "b", "c"].map((path) => ({ path, content: path.repeat(10) }));
  const broken = new FakeFolder(files);
  const content = broken.content.bind(broken);
  broken.content = async function* (index) {
    yield* content(index);
    if (index === 1) throw new GantryError("unavailable", "the client has gone");
  };
  await assert.rejects(sync(context, broken), /the client has gone/);
  const again = new FakeFolder(files);
  const synced = await sync(context, again);
  assert(again.asked.includes("b"));
  assert.equal(await text(synced, "b"), "b".repeat(10));
  await synced.release();
});

test("a file that changes while it is read is what came, and is asked for again", async () => {
  const context = await kept();
  const grown = new FakeFolder([{ path: "log", content: "longer than said", size: 3 }]);
  const first = await sync(context, grown);
  assert.equal(await text(first, "log"), "longer than said");
  const large = "y".repeat(900_000);
  const more = new FakeFolder([{ path: "log", content: large, size: 3 }]);
  const second = await sync(context, more);
  assert.deepEqual(more.asked, ["log"]);
  assert.equal(await text(second, "log"), large);
  const sha = createHash("sha256").update(large).digest("hex");
  assert.equal(second.tree.find("log", { follow: false })?.node.digest, sha);
  // Changed in the moment in which the client looked: it may be changing still.
  const young = { path: "now", content: "1", modifiedNs: BigInt(Date.now()) * 1_000_000n };
  const third = await sync(context, new FakeFolder([young]));
  const folder = new FakeFolder([{ ...young, content: "2" }]);
  const fourth = await sync(context, folder);
  assert.equal(await text(fourth, "now"), "2");
  for (const one of [first, second, third, fourth]) await one.release();
});

test("two builds of one folder at once do not disturb each other", async () => {
  const context = await kept();
  const names = Array.from({ length: 200 }, (_, at) => `f${String(at).padStart(3, "0")}`);
  const one = names.map((path, at) => ({ path, content: `one ${path} `.repeat(at * 100) }));
  const two = names.map((path, at) => ({ ...one[at]!, content: `two ${path} `.repeat(at * 90) }));
  const [first, second] = await Promise.all([
    sync(context, new FakeFolder(one)),
    sync(context, new FakeFolder(two)),
  ]);
  for (const at of [0, 1, 57, 199]) {
    assert.equal(await text(first, one[at]!.path), one[at]!.content);
    assert.equal(await text(second, two[at]!.path), two[at]!.content);
  }
  await first.release();
  await second.release();
});

test("a pack that is mostly rubbish is written anew, when nobody reads it", async () => {
  const context = await kept();
  const big = (at: number) => ({
    ...{ path: "big", content: String(at).repeat(9_000_000), modifiedNs: BigInt(at) },
  });
  const small = { path: "small", content: "kept" };
  for (let at = 1; at <= 4; at++) {
    const synced = await sync(context, new FakeFolder([big(at), small]));
    await synced.release();
  }
  assert(context.bytes < 20_000_000, String(context.bytes));
  const folder = new FakeFolder([big(4), small]);
  const last = await sync(context, folder);
  assert.deepEqual(folder.asked, []);
  assert.equal(await text(last, "small"), "kept");
  assert.equal(await text(last, "big"), "4".repeat(9_000_000));
  await last.release();
});

test("paths and orders that no client has are refused", async () => {
  const folder = { path: "d", mode: 0o40755 };
  const cases: [string, RegExp, (Partial<ClientFile> & { path: string })[]][] = [
    ["up", /invalid path/, [{ path: "../x" }]],
    ["absolute", /invalid path/, [{ path: "/etc/passwd" }]],
    ["inside up", /invalid path/, [folder, { path: "d/../../x" }]],
    ["dot", /invalid path/, [{ path: "." }]],
    ["empty", /invalid path/, [{ path: "" }]],
    ["double slash", /invalid path/, [folder, { path: "d//x" }]],
    ["zero byte", /invalid path/, [{ path: "a\0b" }]],
    ["long name", /file name too long/, [{ path: "n".repeat(256) }]],
    ["long name in bytes", /file name too long/, [{ path: "é".repeat(128) }]],
    ["no folder", /comes before its folder/, [{ path: "d/x" }]],
    ["beneath a file", /comes before its folder/, [{ path: "f" }, { path: "f/x" }]],
    [
      "beneath a link",
      /comes before its folder/,
      [{ path: "l", mode: 0o120777, linkname: "/etc" }, { path: "l/passwd" }],
    ],
    ["twice", /comes twice/, [{ path: "a" }, { path: "a" }]],
    ["a link to nothing", /has not come/, [{ path: "a", linkname: "b" }]],
    ["a link outside", /invalid path/, [{ path: "a", linkname: "../b" }]],
    ["a link to a folder", /has not come/, [folder, { path: "e", linkname: "d" }]],
    ["unknown kind", /unknown kind/, [{ path: "a", mode: 0o644 }]],
  ];
  for (const [name, message, files] of cases) {
    await assert.rejects(sync(await kept(), new FakeFolder(files)), message, name);
  }
  const deep = Array.from({ length: 1500 }, (_, at) => ({
    ...{
      path: Array(at + 1)
        .fill("dd")
        .join("/"),
      mode: 0o40755,
    },
  }));
  await assert.rejects(sync(await kept(), new FakeFolder(deep)), /file name too long/);
});

test("sockets are left out, and so are extended attributes of the client's machine", async () => {
  const xattrs = new Map([
    ["security.capability", Buffer.from("c")],
    ["user.xdg.origin.url", Buffer.from("https://example.com/private")],
  ]);
  const context = await sync(
    await kept(),
    new FakeFolder([
      { path: "s", mode: 0o140755 },
      { path: "x", content: "x", xattrs },
    ]),
  );
  assert.deepEqual(context.tree.names(context.tree.root), ["x"]);
  const { node } = context.tree.find("x", { follow: false })!;
  assert.deepEqual(node.xattrs, []);
  await context.release();
});

test("links are followed inside the index and never lead outside", async () => {
  const tree = indexed(
    asTar([
      { path: "etc", kind: "folder" },
      { path: "etc/passwd", kind: "file", content: "ours" },
      { path: "up", kind: "symlink", link: "../../../../etc" },
      { path: "abs", kind: "symlink", link: "/etc/passwd" },
      { path: "loop", kind: "symlink", link: "loop" },
    ]),
    999,
  );
  assert.equal(tree.find("up/passwd", { follow: true })?.path, "/etc/passwd");
  assert.equal(tree.find("/abs", { follow: true })?.path, "/etc/passwd");
  assert.equal(tree.find("up/../../passwd", { follow: true }), undefined);
  assert.throws(() => tree.find("loop", { follow: true }), /too many levels/);
});

test("patterns of COPY: within a name, and ** over folders", async () => {
  const paths = ["a/x.js", "a/b/y.js", "a/b/z.txt", "top.js", "a/b/c/[odd].js"];
  const folders = ["a", "a/b", "a/b/c"].map((path) => ({ path, kind: "folder" as const }));
  const files = paths.map((path) => ({ path, kind: "file" as const, content: path }));
  const context = { tree: indexed(asTar([...folders, ...files]), 512) };
  const found = async (path: string) => {
    const selection = { paths: [{ written: path, path: `/${path}` }], exclude: [] };
    const { items } = await findSelection(new IndexFiles(context), selection, { signal });
    return items.map((item) => item.path.slice(1));
  };
  assert.deepEqual(await found("*.js"), ["top.js"]);
  assert.deepEqual(await found("a/*/*.js"), ["a/b/y.js"]);
  assert.deepEqual(await found("**/*.js"), ["a/b/c/[odd].js", "a/b/y.js", "a/x.js", "top.js"]);
  assert.deepEqual(await found("a/**/c"), ["a/b/c"]);
  assert.deepEqual(await found("a/b/c/\\[odd\\].js"), ["a/b/c/[odd].js"]);
  assert.deepEqual(await found("*.none"), []);
  await assert.rejects(found("a/b/y.jz"), /file does not exist \(did you mean y\.js\?\)/);
  await assert.rejects(found("z.txt"), /file does not exist \(did you mean a\/b\/z\.txt\?\)/);
  const ignoring = new IndexFiles({ ...context, ignored: (path) => path === "node_modules" });
  const selection = { paths: [{ written: "node_modules", path: "/node_modules" }], exclude: [] };
  await assert.rejects(
    findSelection(ignoring, selection, { signal }),
    /excluded by \.dockerignore: stat node_modules: .*\(it is excluded by \.dockerignore\)/,
  );
});

test("tars: later entries win, missing folders are made, odd ones are left to the kernel", () => {
  const tar = rawTar(
    { name: "./", type: "5" },
    { name: "deep/er/file", content: "1" },
    { name: "deep/er/file", content: "22" },
    { name: "was-folder/x", content: "x" },
    { name: "was-folder", content: "now a file" },
    { name: "gnu", type: "L", content: "a-long-name\0" },
    { name: "short", content: "L" },
    { name: "g", type: "g", content: paxText({ comment: "x" }) },
    { name: "time", pax: { mtime: "-1.5" } },
  );
  const tree = indexed(tar, 700);
  const node = (path: string) => tree.find(path, { follow: false })?.node;
  assert.equal(node("deep/er/file")?.size, 2);
  assert.equal(node("deep")?.mode, 0o755);
  assert.equal(node("was-folder")?.type, "0");
  assert.equal(node("a-long-name")?.size, 1);
  assert.equal(node("time")?.mtimeNs, -1_500_000_000n);
  assert.equal(tar.toString("latin1", node("a-long-name")!.offset).slice(0, 1), "L");
  const refused =
    (...entries: RawEntry[]) =>
    () =>
      indexed(rawTar(...entries), 512);
  assert.throws(refused({ name: "../x" }), /outside of the root/);
  assert.throws(refused({ name: "x", badChecksum: true }), /invalid tar header/);
  assert.throws(refused({ name: "x", type: "x", size: 2 << 20 }), /header field too long/);
  assert.throws(() => indexed(rawTar({ name: "x", content: "abc" }).subarray(0, 514), 99), /EOF/);
  const odd = (...entries: RawEntry[]) => assert.throws(refused(...entries), TooOdd);
  odd({ name: "s", type: "S" });
  odd({ name: "s", pax: { "GNU.sparse.major": "1" } });
  odd({ name: "h", type: "1", link: "nothing" });
  odd({ name: "l", type: "2", link: "nowhere" }, { name: "l/x", content: "x" });
  odd({ name: "f", content: "f" }, { name: "f/x", content: "x" });
});

test("names that are no UTF-8 are told apart and come back", () => {
  const odd = [Buffer.from([0xff, 0x61]), Buffer.from([0xfe, 0x61]), Buffer.from("é\ufffd𐐷")];
  for (const bytes of odd) assert.deepEqual(encodeName(decodeName(bytes)), bytes);
  assert.notEqual(decodeName(odd[0]!), decodeName(odd[1]!));
  const names = ["𐐷", "\uffee", "a", "é"];
  const sorted = [...names].sort(compareNames);
  const byBytes = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(sorted, byBytes);
});

test("a folder of this machine: patterns leave out, followed paths bring what links lead to", async () => {
  const root = await scratch();
  for (const path of ["src/a.ts", "src/b.md", "docs/x/y", "real/file", "node_modules/m/index"]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), path);
  }
  symlinkSync("real", join(root, "link"));
  const list = async (wish: { include?: string[]; exclude?: string[]; followPaths?: string[] }) => {
    const request = { include: [], exclude: [], followPaths: [], ...wish };
    const folder = await openLocalFolder(root, request);
    const context = await sync(await kept(), folder);
    const paths = [...context.tree.walk(context.tree.root)].map(([path]) => path);
    for (const [path, node] of context.tree.walk(context.tree.root)) {
      if (node.type === "0") assert.equal(await text(context, path), path);
    }
    await context.release();
    return paths;
  };
  const most = await list({ exclude: ["node_modules", "**/*.md", "docs", "!docs/x/y"] });
  assert.deepEqual(most, [
    ...["docs", "docs/x", "docs/x/y", "link", "real", "real/file", "src", "src/a.ts"],
  ]);
  assert.deepEqual(await list({ followPaths: ["link/file"] }), ["link", "real", "real/file"]);
  assert.deepEqual(await list({ followPaths: ["src/*.ts"] }), ["src", "src/a.ts"]);
  assert.deepEqual(await list({ followPaths: ["nothing"] }), []);
});
