// Both halves of a build's session against each other over a socket: the command line's, which owns
// folders, secrets and outputs, and the daemon's, which asks for them. A daemon that means harm is
// played by hand.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, beforeEach, describe, test } from "node:test";
import { parseFlags } from "../../src/base/index.ts";
import { ClientConnection } from "../../src/buildkit/client-connection.ts";
import { ClientSession } from "../../src/buildkit/client-session.ts";
import { putInLayout } from "../../src/cli/commands/build/session/content-store.ts";
import { serveCalls } from "../../src/cli/commands/build/session/grpc-server.ts";
import { handlersOf, type SessionOffer } from "../../src/cli/commands/build/session/serve.ts";
import { GLOBAL_FLAGS } from "../../src/cli/global-flags.ts";
import { Session } from "../../src/cli/session.ts";
import type { ClientFile, FolderRequest } from "../../src/engine/index.ts";
import { memoryIo } from "../support/memory-io.ts";
import { writeFiles } from "../support/write-files.ts";

const EVERYTHING = { include: [], exclude: [], followPaths: [] };
const signal = new AbortController().signal;

/** Two ends of one connection. */
async function socketPair(folder: string): Promise<[Socket, Socket]> {
  const path = join(folder, `${randomBytes(4).toString("hex")}.sock`);
  const server = createServer();
  const other = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const one = connect({ path });
  await new Promise<void>((resolve) => one.once("connect", () => resolve()));
  const pair: [Socket, Socket] = [await other, one];
  server.close();
  return pair;
}

describe("a build's session", () => {
  let folder: string;
  let context: string;
  let open: { connection: ClientConnection; close(): void }[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-session-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    for (const one of open) one.close();
    open = [];
    context = await mkdtemp(join(folder, "context-"));
  });
  after(() => {
    for (const one of open) one.close();
  });

  async function start(
    offer: Partial<SessionOffer> = {},
    env: Record<string, string> = {},
  ): Promise<{ session: ClientSession; connection: ClientConnection }> {
    const io = memoryIo([], { env: { HOME: folder, DOCKER_CONFIG: folder, ...env }, cwd: folder });
    const cli = new Session(io, parseFlags(GLOBAL_FLAGS, []));
    const handlers = handlersOf(cli, {
      ...{ folders: new Map([["context", context]]), uploads: new Map(), secrets: new Map() },
      ...{ agents: new Map(), outputs: [], stores: new Map(), sharedKey: "key" },
      ...offer,
    });
    const [ours, theirs] = await socketPair(folder);
    const served = serveCalls(theirs, handlers);
    const connection = new ClientConnection(ours);
    open.push({
      connection,
      close: () => {
        connection.close();
        served.close();
      },
    });
    const methods = new Set([...handlers.keys()].map((name) => name.toLowerCase()));
    const facts = { id: "id", name: "", sharedKey: "key", methods };
    return { session: new ClientSession(connection, facts), connection };
  }

  const fill = (files: Record<string, string | Buffer>) => writeFiles(context, files);

  async function received(
    request: Partial<FolderRequest>,
  ): Promise<{ names: string[]; files: ClientFile[]; contents: Map<string, string> }> {
    const { session } = await start();
    const asked = { ...EVERYTHING, ...request, name: "context" };
    await using sent = await session.openFolder(asked, { signal });
    const files: ClientFile[] = [];
    for await (const file of sent.entries) files.push(file);
    const contents = new Map<string, string>();
    for (const [index, { path, mode, linkname }] of files.entries()) {
      if ((mode & 0o170000) !== 0o100000 || linkname !== "") continue;
      const chunks: Uint8Array[] = [];
      for await (const chunk of sent.content(index)) chunks.push(chunk);
      contents.set(path, Buffer.concat(chunks).toString());
    }
    await sent.finish();
    return { names: files.map(({ path }) => path), files, contents };
  }

  test("a folder is sent in the order of its paths' components, with contents", async () => {
    const large = randomBytes(3_000_000).toString("hex");
    await fill({ "a/b": "1", "a-b": "2", "a/c/d": large, é: "3", z: "" });
    const { names, contents } = await received({});
    assert.deepEqual(names, ["a", "a/b", "a/c", "a/c/d", "a-b", "z", "é"]);
    assert.deepEqual([...contents.keys()], ["a/b", "a/c/d", "a-b", "z", "é"]);
    assert.equal(contents.get("a/c/d"), large);
    assert.equal(contents.get("z"), "");
  });

  test("modes, times, links and hard links travel; owners do not", async () => {
    await fill({ file: "x" });
    await chmod(join(context, "file"), 0o4751);
    await utimes(join(context, "file"), 1_500_000_000.25, 1_500_000_000.25);
    await link(join(context, "file"), join(context, "hard"));
    await symlink("../outside", join(context, "soft"));
    await mkdir(join(context, "sticky"));
    await chmod(join(context, "sticky"), 0o1777);
    const { files } = await received({});
    const by = new Map(files.map((file) => [file.path, file]));
    assert.equal(by.get("file")!.mode, 0o104751);
    assert.equal(by.get("file")!.modifiedNs, 1_500_000_000_250_000_000n);
    assert.equal(by.get("hard")!.linkname, "file");
    assert.equal(by.get("soft")!.linkname, "../outside");
    assert.equal(by.get("soft")!.mode & 0o170000, 0o120000);
    assert.equal(by.get("sticky")!.mode, 0o041777);
    assert.ok(files.every(({ uid, gid }) => uid === 0 && gid === 0));
  });

  test("ignore patterns hold back files, with exceptions below ignored folders", async () => {
    await fill({
      "src/a.c": "",
      "src/b.o": "",
      "node_modules/x/y": "",
      "docs/keep/k.md": "",
      "docs/d.md": "",
    });
    const { names } = await received({
      exclude: ["**/*.o", "node_modules", "docs", "!docs/keep"],
    });
    assert.deepEqual(names, ["docs", "docs/keep", "docs/keep/k.md", "src", "src/a.c"]);
  });

  test("names and targets that are no UTF-8 are told, unless they are ignored", async () => {
    await fill({ "d/\ufffd": "spelled with the character itself" });
    const name = Buffer.concat([Buffer.from(`${context}/d/bad`), Buffer.of(0xff)]);
    await writeFile(name, "");
    await assert.rejects(received({}), /the name of .*\/d\/bad.* is not valid UTF-8: rename it/);
    const ignored = await received({ exclude: ["d/bad*"] });
    assert.deepEqual(ignored.names, ["d", "d/\ufffd"]);
    await symlink(Buffer.of(0x61, 0xff), join(context, "link"));
    await assert.rejects(received({ exclude: ["d"] }), /the target of .*\/link is not valid UTF-8/);
  });

  test("only what is included is sent, with the folders above it", async () => {
    await fill({ "a/b/c": "", "a/x": "", "d/e": "", f: "" });
    assert.deepEqual((await received({ include: ["a/b", "f*"] })).names, [
      "a",
      "a/b",
      "a/b/c",
      "f",
    ]);
    assert.deepEqual((await received({ include: ["*/e"] })).names, ["d", "d/e"]);
    assert.deepEqual((await received({ include: ["nothing"] })).names, []);
  });

  test("links on the way to a wanted path are followed, also out of a pattern", async () => {
    await fill({ "real/deep/file": "", "other/x": "", "real/no": "" });
    await symlink("real", join(context, "one"));
    await symlink("../real/deep/file", join(context, "other/two"));
    await symlink("loop", join(context, "loop"));
    const { names } = await received({ followPaths: ["one/deep", "oth*/two"] });
    assert.deepEqual(names, ["one", "other", "other/two", "real", "real/deep", "real/deep/file"]);
    await assert.rejects(received({ followPaths: ["loop"] }), /too many links/);
  });

  test("patterns with commas and letters beyond ASCII arrive as they are", async () => {
    await fill({ "a, b": "", "ä c": "", d: "" });
    assert.deepEqual((await received({ include: ["a, b", "ä c"] })).names, ["a, b", "ä c"]);
  });

  test("a folder that was not offered is refused", async () => {
    const { session } = await start();
    const asking = async () => {
      await using sent = await session.openFolder({ ...EVERYTHING, name: "etc" }, { signal });
      for await (const _ of sent.entries);
    };
    await assert.rejects(asking, /no access allowed to dir/);
  });

  test("a file that cannot be read is an error with its name", async () => {
    await fill({ a: "x" });
    const { session } = await start();
    await using sent = await session.openFolder({ ...EVERYTHING, name: "context" }, { signal });
    for await (const _ of sent.entries);
    await rm(join(context, "a"));
    await assert.rejects(async () => {
      for await (const _ of sent.content(0));
    }, /open .*\/a: no such file or directory/);
  });

  test("secrets come from files and variables, and others are not found", async () => {
    await writeFile(join(folder, "secret"), Buffer.from([0, 1, 255]));
    const secrets = new Map([
      ["file", { path: join(folder, "secret") }],
      ["env", { env: "TOKEN" }],
    ]);
    const { session } = await start({ secrets }, { TOKEN: "t" });
    assert.deepEqual(
      Buffer.from((await session.secret("file", { signal }))!),
      Buffer.from([0, 1, 255]),
    );
    assert.equal(Buffer.from((await session.secret("env", { signal }))!).toString(), "t");
    assert.equal(await session.secret("other", { signal }), undefined);
  });

  test("credentials are those of config.json", async () => {
    const auth = Buffer.from("me:pass").toString("base64");
    await writeFile(
      join(folder, "config.json"),
      JSON.stringify({ auths: { "r.example": { auth } } }),
    );
    const { session } = await start();
    const found = await session.credentials("r.example", { signal });
    assert.equal(found?.username, "me");
    assert.equal(found?.password, "pass");
    assert.equal((await session.credentials("else.example", { signal }))?.username ?? "", "");
    await rm(join(folder, "config.json"));
  });

  test("an ssh agent is reached through the session", async () => {
    const path = join(folder, "agent.sock");
    const agent = createServer((socket) => socket.pipe(socket)).listen(path);
    const { session } = await start({ agents: new Map([["default", { socket: path }]]) });
    assert.equal(await session.hasSshAgent("default", { signal }), true);
    assert.equal(await session.hasSshAgent("other", { signal }), false);
    const stream = await session.connectSshAgent("default", { signal });
    const said = async (hex: string): Promise<string> => {
      stream.write(Buffer.from(hex, "hex"));
      const answer = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
      return answer.toString("hex");
    };
    assert.equal(await said("000000010b"), "000000010b", "the agent was asked for its keys");
    assert.equal(await said("0000000113"), "0000000105", "but not to remove them");
    stream.destroy();
    agent.close();
  });

  test("what is uploaded can be fetched once", async () => {
    const { session } = await start({
      uploads: new Map([["abc", Readable.from([Buffer.from("tar")])]]),
    });
    const chunks: Uint8Array[] = [];
    const url = "http://buildkit-session/abc";
    for await (const chunk of await session.openUpload(url, { signal })) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), "tar");
  });

  test("an output that is a file appears whole, under its name", async () => {
    const path = join(folder, "out.tar");
    const { session } = await start({ outputs: [undefined, { path }] });
    const parts = [Buffer.from("one"), randomBytes(1 << 20)];
    const bytes = Readable.from(parts);
    await session.sendFile({ exporter: "1", metadata: {} }, bytes, { signal });
    assert.deepEqual(await readFile(path), Buffer.concat(parts));
    await assert.rejects(
      session.sendFile({ exporter: "0", metadata: {} }, Readable.from([]), { signal }),
      /no output 0 takes files/,
    );
  });

  const sink = (files: readonly Partial<ClientFile>[], contents: Record<string, string> = {}) => ({
    entries: (async function* () {
      for (const file of files) {
        yield {
          ...{ path: "", mode: 0o100644, uid: 7, gid: 7, size: 0, modifiedNs: 1_000_000_000n },
          ...{ linkname: "", devMajor: 0, devMinor: 0, xattrs: new Map<string, Uint8Array>() },
          ...file,
        };
      }
    })(),
    async *open(path: string) {
      if (contents[path]) yield Buffer.from(contents[path]);
    },
  });

  test("an output that is a folder is written with modes, times and links, over what was there", async () => {
    const target = await mkdtemp(join(folder, "out-"));
    await writeFile(join(target, "old"), "kept");
    await mkdir(join(target, "file"));
    const { session } = await start({ outputs: [{ folder: target }] });
    const files = [
      { path: "dir", mode: 0o040750 },
      { path: "dir/x", mode: 0o104755 },
      { path: "file" },
      { path: "hard", linkname: "file" },
      { path: "soft", mode: 0o120777, linkname: "/etc" },
    ];
    await session.sendFolder({ exporter: "0" }, sink(files, { "dir/x": "X", file: "F" }), {
      signal,
    });
    assert.deepEqual((await readdir(target)).sort(), ["dir", "file", "hard", "old", "soft"]);
    assert.equal((await lstat(join(target, "dir"))).mode & 0o7777, 0o750);
    assert.equal((await lstat(join(target, "dir/x"))).mode & 0o7777, 0o4755);
    assert.equal((await lstat(join(target, "dir"))).mtimeMs, 1000);
    assert.equal((await lstat(join(target, "file"))).uid, process.getuid!());
    assert.equal((await lstat(join(target, "hard"))).ino, (await lstat(join(target, "file"))).ino);
    assert.equal(await readlink(join(target, "soft")), "/etc");
  });

  test("no name of a daemon's leads out of the folder", async () => {
    const outside = await mkdtemp(join(folder, "outside-"));
    const attacks: Partial<ClientFile>[][] = [
      [{ path: "../evil" }],
      [{ path: "a/../../evil" }],
      [{ path: "soft", mode: 0o120777, linkname: outside }, { path: "soft/evil" }],
      [{ path: "no/parent" }],
      [{ path: "b" }, { path: "a" }],
      [{ path: "x", linkname: "../../etc/passwd" }],
    ];
    for (const files of attacks) {
      const target = await mkdtemp(join(folder, "out-"));
      const { session } = await start({ outputs: [{ folder: target }] });
      const contents = Object.fromEntries(files.map(({ path }) => [path, "evil"]));
      await assert.rejects(
        session.sendFolder({ exporter: "0" }, sink(files, contents), { signal }),
        JSON.stringify(files),
      );
    }
    assert.deepEqual(await readdir(outside), []);
  });

  test("a link that was in the folder before is not walked through", async () => {
    const outside = await mkdtemp(join(folder, "outside-"));
    const target = await mkdtemp(join(folder, "out-"));
    await symlink(outside, join(target, "dir"));
    const { session } = await start({ outputs: [{ folder: target }] });
    const files = [{ path: "dir", mode: 0o040755 }, { path: "dir/x" }];
    await session.sendFolder({ exporter: "0" }, sink(files, { "dir/x": "X" }), { signal });
    assert.deepEqual(await readdir(outside), []);
    assert.equal(await readFile(join(target, "dir/x"), "utf8"), "X");
  });

  test("blobs of a local cache go in under their digest, and come out again", async () => {
    const layout = await mkdtemp(join(folder, "cache-"));
    const { session } = await start({ stores: new Map([["local:cache", layout]]) });
    const store = session.contentStore("local:cache");
    const bytes = randomBytes(700_000);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    assert.equal(await store.size(digest, { signal }), undefined);
    await store.write({ digest, size: bytes.length }, Readable.from([bytes]), { signal });
    assert.equal(await store.size(digest, { signal }), bytes.length);
    const chunks: Uint8Array[] = [];
    for await (const chunk of store.read(digest, { signal })) chunks.push(chunk);
    assert.deepEqual(Buffer.concat(chunks), bytes);
    // What is there already is taken as written.
    await store.write({ digest, size: bytes.length }, Readable.from([bytes]), { signal });
    const wrong = `sha256:${"0".repeat(64)}`;
    await assert.rejects(
      store.write({ digest: wrong, size: 3 }, Readable.from([Buffer.from("abc")]), { signal }),
    );
    assert.deepEqual(await readdir(join(layout, "ingest")), []);
  });

  test("no other store, and no digest that is none", async () => {
    const { session } = await start({ stores: new Map([["local:cache", folder]]) });
    await assert.rejects(async () => {
      await session.contentStore("local:cache").size("sha256:../../etc/passwd", { signal });
    });
    const other = session.contentStore("elsewhere");
    const digest = `sha256:${"0".repeat(64)}`;
    await assert.rejects(async () => {
      for await (const _ of other.read(digest, { signal }));
    });
  });

  test("a layout's index keeps other tags", async () => {
    const layout = await mkdtemp(join(folder, "layout-"));
    const descriptor = (name: string) => ({ mediaType: "m", digest: `sha256:${name}`, size: 1 });
    await putInLayout(layout, "one", descriptor("1"));
    await putInLayout(layout, "two", descriptor("2"));
    await putInLayout(layout, "one", descriptor("3"));
    const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as {
      manifests: { digest: string }[];
    };
    assert.deepEqual(
      index.manifests.map(({ digest }) => digest),
      ["sha256:2", "sha256:3"],
    );
  });
});
