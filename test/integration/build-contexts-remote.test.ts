// Contexts from elsewhere, by the real git and http: which commit is taken, what is fetched again,
// and that a hostile repository or a missing credential ends in words, not in harm.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { gitSource } from "../../src/build/index.ts";
import { throughProxies } from "../../src/engine/build/contexts/git-source.ts";
import { type ContextPlace, gitTree, openContext } from "../../src/engine/build/contexts/index.ts";
import { download } from "../../src/engine/build/download.ts";
import { type ContextFixture, contextFixture } from "../support/context-place.ts";
import { type GitServer, gitHere, gitServer, httpBackend } from "../support/git-server.ts";
import { rawTar } from "../support/raw-tar.ts";
import { REMOTE, registriesWith } from "../support/registry-client.ts";
import { type StorageFixture, storageFixture } from "../support/storage-fixture.ts";

const signal = new AbortController().signal;
let storage: StorageFixture;
let contexts: ContextFixture;
let folder: string;
before(async () => {
  storage = await storageFixture();
  contexts = await contextFixture(storage);
  folder = mkdtempSync(join(tmpdir(), "remote-"));
});
after(async () => {
  await contexts.close();
  await storage.close();
  rmSync(folder, { recursive: true, force: true });
});

const main = { kind: "context", name: "" } as const;
const readIn = async ({ workspace }: ContextPlace, path: string) =>
  (await workspace.readFile(main, path, { signal, bytesMax: 1e6 }))?.toString();

async function openGit(url: string, more: Partial<ContextPlace> = {}) {
  const place = await contexts.place(more);
  const context = await openContext(place, { kind: "git", url }, { name: "", signal });
  return { place, context, read: (path: string) => readIn(place, path) };
}

const skip = httpBackend === undefined && "needs git with its http backend";

describe("git repositories", { skip }, () => {
  let server: GitServer;
  let work: string;
  let first: string;
  let second: string;
  before(async () => {
    server = await gitServer(join(folder, "served"));
    work = join(folder, "work");
    mkdirSync(work);
    await gitHere(work, "init", "-q", "-b", "main");
    writeFileSync(join(work, "file"), "one");
    mkdirSync(join(work, "sub/deep"), { recursive: true });
    writeFileSync(join(work, "sub/deep/x"), "x");
    writeFileSync(join(work, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
    await gitHere(work, "add", ".");
    await gitHere(work, "commit", "-qm", "first");
    await gitHere(work, "tag", "-am", "a tag", "v1");
    first = await gitHere(work, "rev-parse", "HEAD");
    writeFileSync(join(work, "file"), "two");
    await gitHere(work, "commit", "-qam", "second");
    await gitHere(work, "branch", "side/branch", first);
    second = await gitHere(work, "rev-parse", "HEAD");
    await publish(work, "repo.git");
  });
  after(() => server.close());

  async function publish(from: string, name: string): Promise<void> {
    mkdirSync(join(folder, "served"), { recursive: true });
    rmSync(join(folder, "served", name), { recursive: true, force: true });
    await gitHere(folder, "clone", "-q", "--mirror", from, join("served", name));
  }

  test("refs, tags, commits, folders and query forms lead where they say", async () => {
    const url = `${server.url}/repo.git`;
    const cases: [string, string, string][] = [
      [url, second, "two"],
      [`${url}#main`, second, "two"],
      [`${url}#v1`, first, "one"],
      [`${url}#refs/tags/v1`, first, "one"],
      [`${url}#side/branch`, first, "one"],
      [`${url}#${first}`, first, "one"],
      [`${url}#${first.slice(0, 9)}`, first, "one"],
      [`${url}?tag=v1`, first, "one"],
      [`${url}?branch=side/branch`, first, "one"],
      [`${url}?ref=main&checksum=${second.slice(0, 10)}`, second, "two"],
    ];
    for (const [address, commit, content] of cases) {
      const { context, read } = await openGit(address);
      assert.equal(await read("/file"), content, address);
      assert.deepEqual(context.materials?.[0]?.digest, { sha1: commit }, address);
      assert.equal(await read("/.git/HEAD"), undefined);
      await context.release();
    }
    assert.equal(await (await openGit(`${url}#main:sub/deep`)).read("/x"), "x");
    assert.equal(await (await openGit(`${url}?branch=main&subdir=sub`)).read("/deep/x"), "x");
    const { place } = await openGit(`${url}#main`);
    const files = place.workspace.files(main);
    const [item] = await files.find({ written: "run.sh", path: "/run.sh" }, { signal });
    for await (const [file] of files.list(item!, () => false, { signal })) {
      assert.equal(file.mode, 0o755);
      assert.equal(file.uid, 0);
    }
  });

  test("a commit that is here is not fetched again, also after a restart", async () => {
    const url = `${server.url}/repo.git`;
    await openGit(`${url}#main`);
    const before = server.fetches;
    await openGit(`${url}#main`);
    await openGit(`${url}#${second}`);
    await contexts.reopen();
    await openGit(`${url}#main`);
    const looks = server.fetches - before;
    writeFileSync(join(work, "file"), "three");
    await gitHere(work, "commit", "-qam", "third");
    await publish(work, "repo.git");
    assert.equal(await (await openGit(`${url}#main`)).read("/file"), "three");
    assert(server.fetches - before > looks);
    const [entry] = await (await contexts.place()).store.list();
    assert.equal(entry?.type, "source.git.checkout");
    assert((entry?.size ?? 0) > 0);
  });

  test("what is not there, or not what it should be, is said", async () => {
    const url = `${server.url}/repo.git`;
    const refused = (address: string, message: RegExp) =>
      assert.rejects(openGit(address), message, address);
    await refused(`${url}#nosuch`, /does not have the ref "nosuch"/);
    await refused(`${url}#deadbeef`, /does not have the ref or commit deadbeef/);
    await refused(`${url}#${"d".repeat(40)}`, /does not have the commit d{40}/);
    await refused(`${url}?tag=main`, /does not have the ref "main"/);
    await refused(`${url}#main:nofolder`, /no folder nofolder/);
    await refused(`${url}#main:file`, /file is no folder/);
    await refused(`${url}#main:../..`, /leads outside/);
    await refused(`${url}?checksum=0000000`, /expected checksum to match 0000000, got/);
    await refused(`${url}#--upload-pack=x`, /invalid git ref/);
    await refused(`${server.url}/nothing.git`, /failed to load git repository/);
    await refused("git@-oProxyCommand=x:repo", /./);
  });

  test("a private repository: no token, a token, a header, a user in the address", async () => {
    const address = `${server.url}/repo.git`;
    const { host } = new URL(address);
    const asSecret = (wanted: string, value: string) => ({
      secret: async (id: string) => (id === wanted ? Buffer.from(`${value}\n`) : undefined),
    });
    const token = (pair: string) => `basic ${Buffer.from(pair).toString("base64")}`;
    try {
      server.authorization = token("x-access-token:secret-1");
      await assert.rejects(openGit(address), /give a secret GIT_AUTH_TOKEN/);
      await openGit(address, asSecret("GIT_AUTH_TOKEN", "secret-1"));
      await openGit(address, asSecret(`GIT_AUTH_TOKEN.${host}`, "secret-1"));
      await assert.rejects(openGit(address, asSecret("GIT_AUTH_TOKEN.other", "secret-1")));
      server.authorization = "Bearer header-2";
      await openGit(address, asSecret("GIT_AUTH_HEADER", "Bearer header-2"));
      server.authorization = token("me:pass word");
      const withUser = address.replace("http://", "http://me:pass%20word@");
      const { context } = await openGit(withUser);
      assert.doesNotMatch(JSON.stringify(context.materials), /pass/);
      const wrong = withUser.replace("pass", "wrong");
      await assert.rejects(openGit(wrong), (error: Error) => !error.message.includes("wrong"));
    } finally {
      server.authorization = undefined;
    }
  });

  test("submodules come with it; those that lead to the host's files do not", async () => {
    const outer = join(folder, "outer");
    mkdirSync(outer);
    await gitHere(outer, "init", "-q", "-b", "main");
    await gitHere(outer, "submodule", "--quiet", "add", `${server.url}/repo.git`, "inner");
    await gitHere(outer, "commit", "-qm", "with a submodule");
    await publish(outer, "outer.git");
    const url = `${server.url}/outer.git`;
    assert.equal(await (await openGit(url)).read("/inner/sub/deep/x"), "x");
    assert.equal(
      await (await openGit(`${url}?submodules=false`)).read("/inner/sub/deep/x"),
      undefined,
    );
    const hostile = join(folder, "hostile-sub");
    mkdirSync(hostile);
    await gitHere(hostile, "init", "-q", "-b", "main");
    await gitHere(hostile, "submodule", "--quiet", "add", work, "inner");
    await gitHere(hostile, "commit", "-qm", "from a path");
    await publish(hostile, "hostile-sub.git");
    await assert.rejects(openGit(`${server.url}/hostile-sub.git`), /transport 'file' not allowed/);
  });

  test("a hostile tree: links leading out, hooks and filters of its own are only files", async () => {
    const tree = join(folder, "hostile");
    mkdirSync(join(tree, "hooks"), { recursive: true });
    await gitHere(tree, "init", "-q", "-b", "main");
    const mark = join(folder, "mark");
    writeFileSync(join(tree, "hooks/post-checkout"), `#!/bin/sh\ntouch ${mark}\n`, { mode: 0o755 });
    writeFileSync(join(tree, ".gitattributes"), "* filter=evil\n");
    writeFileSync(join(tree, ".gitconfig"), `[filter "evil"]\nsmudge = touch ${mark}\n`);
    writeFileSync(join(folder, "host-secret"), "of the host");
    symlinkSync(join(folder, "host-secret"), join(tree, "out"));
    symlinkSync("/", join(tree, "root"));
    await gitHere(tree, "add", ".");
    await gitHere(tree, "commit", "-qm", "hostile");
    await publish(tree, "hostile.git");
    const { read } = await openGit(`${server.url}/hostile.git`);
    assert.equal(await read("/out"), undefined);
    assert.equal(await read(`/root${folder}/host-secret`), undefined);
    assert.match((await read("/hooks/post-checkout")) ?? "", /touch/);
    assert.throws(() => execFileSync("ls", [mark], { stdio: "ignore" }));
    // "/" is the checkout itself.
    const { read: inside } = await openGit(`${server.url}/hostile.git#main:root`);
    assert.match((await inside("/hooks/post-checkout")) ?? "", /touch/);
    assert.equal(await inside("/etc/passwd"), undefined);
  });

  test("--keep-git-dir keeps a repository that works, and counts the same each time", async () => {
    const source = { ...gitSource(`${server.url}/repo.git#v1`), keepGitDir: true };
    const digests: string[] = [];
    for (let round = 0; round < 2; round++) {
      const place = await contexts.place();
      const tree = await gitTree(place, source, { signal });
      place.workspace.setContext("", tree);
      const files = place.workspace.files(main);
      const [item] = await files.find({ written: "/", path: "/" }, { signal });
      const hash = createHash("sha256");
      for await (const [file, digest] of files.list(item!, () => false, { signal })) {
        hash.update(`${file.name} ${file.mode} ${file.size} ${digest}\n`);
      }
      digests.push(hash.digest("hex"));
      assert.equal(await readIn(place, "/.git/HEAD"), `${first}\n`);
      const mount = await place.workspace.mountable(main, { signal });
      assert(mount.kind === "mount" && mount.rootfs.kind === "bind");
      assert.equal(
        await gitHere(mount.rootfs.path, "-c", "safe.directory=*", "rev-parse", "HEAD"),
        first,
      );
    }
    assert.equal(digests[0], digests[1]);
  });

  test("a token stays with its server, wherever that one sends git", async () => {
    const asked: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      asked.push(request.headers.authorization);
      const to = request.url?.startsWith("/old.git") ? "/repo.git" : `${server.url}/repo.git`;
      const rest = request.url?.replace(/^\/\w+\.git/, "");
      response.writeHead(302, { location: `${to}${rest}` }).end();
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = other.address() as AddressInfo;
      server.seen.length = 0;
      const secret = async () => Buffer.from("secret-1");
      const { read } = await openGit(`http://127.0.0.1:${port}/old.git#main`, { secret });
      assert.equal(await read("/run.sh"), "#!/bin/sh\n");
      // Twice on the first server, where the repository had another name; never on the second.
      assert.equal(asked.length, 2);
      assert(asked.every((value) => value !== undefined));
      assert(server.seen.length > 0);
      assert(server.seen.every((value) => value === undefined));
    } finally {
      other.closeAllConnections();
      await new Promise((resolve) => other.close(resolve));
    }
  });

  test("repositories are reached by the daemon's proxies", async () => {
    // Nobody has this address: only the proxy, which is the server itself, leads there.
    const url = `http://${REMOTE}/repo.git#main`;
    const proxies = { httpProxy: server.url, httpsProxy: "", noProxy: "" };
    const behind = await contextFixture(storage, proxies);
    try {
      const place = await behind.place();
      await openContext(place, { kind: "git", url }, { name: "", signal });
      assert.equal(await readIn(place, "/run.sh"), "#!/bin/sh\n");
    } finally {
      await behind.close();
    }
    const way = { config: {}, env: {} };
    const registries = registriesWith({ proxies: { ...proxies, noProxy: "b" } });
    const direct = throughProxies({ registries }, { ...way, remote: "https://a.b/x" });
    assert.deepEqual(direct.config, { "http.https://a.b/.proxy": "" });
    assert.equal(direct.env["no_proxy"], "localhost,127.0.0.0/8,::1,b");
  });
});

describe("http contexts", () => {
  test("a context at an address is reached by the daemon's proxies", async () => {
    const asked: (string | undefined)[] = [];
    const proxy = createServer((request, response) => {
      asked.push(request.url);
      response.end("FROM scratch\n");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const httpProxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const behind = await contextFixture(storage, { httpProxy, httpsProxy: "", noProxy: "" });
    try {
      const place = await behind.place();
      const url = `http://${REMOTE}/Dockerfile`;
      await openContext(place, { kind: "http", url }, { name: "", signal });
      assert.equal(await readIn(place, "/Dockerfile"), "FROM scratch\n");
      const { engine, workspace } = place;
      await download({ engine, workspace }, { url, fileName: "x" }, { signal });
      assert.deepEqual(asked, [url, url]);
    } finally {
      await behind.close();
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  test("a tar, compressed or not, or a Dockerfile; kept as long as the server says so", async () => {
    const tar = rawTar(
      { name: "Dockerfile", content: "FROM scratch" },
      { name: "a", content: "a" },
    );
    let etag = '"1"';
    let bodies = 0;
    const answers: Record<string, () => Buffer> = {
      "/tar": () => tar,
      "/gzip": () => gzipSync(tar),
      "/file": () => Buffer.from("FROM scratch\n"),
    };
    const asked: IncomingMessage["headers"][] = [];
    const server = createServer((request, response) => {
      asked.push(request.headers);
      const answer = answers[request.url ?? ""];
      if (!answer) return void response.writeHead(404, "Not Found").end();
      if (request.headers["if-none-match"] === etag) return void response.writeHead(304).end();
      bodies++;
      response.writeHead(200, { etag }).end(answer());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const open = async (path: string) => {
      const place = await contexts.place();
      const source = { kind: "http", url: `${base}${path}` } as const;
      const context = await openContext(place, source, { name: "", signal });
      return { context, read: (name: string) => readIn(place, name) };
    };
    try {
      assert.equal(await (await open("/tar")).read("/a"), "a");
      assert.equal(await (await open("/gzip")).read("/a"), "a");
      assert.equal(await (await open("/file")).read("/Dockerfile"), "FROM scratch\n");
      assert.equal(bodies, 3);
      await contexts.reopen();
      const again = await open("/tar");
      assert.equal(await again.read("/a"), "a");
      assert.equal(bodies, 3);
      const sha256 = createHash("sha256").update(tar).digest("hex");
      assert.deepEqual(again.context.materials, [{ uri: `${base}/tar`, digest: { sha256 } }]);
      etag = '"2"';
      await open("/tar");
      assert.equal(bodies, 4);
      await assert.rejects(open("/none"), /GET http:.*\/none: 404 Not Found/);
      await assert.rejects(
        openContext(
          await contexts.place(),
          { kind: "http", url: "file:///etc/passwd" },
          { name: "", signal },
        ),
        /invalid address/,
      );
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
