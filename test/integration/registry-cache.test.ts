// The pull-through cache, as clients of a registry of ours see it, in front of a registry that
// misbehaves at will.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import {
  type CacheUpstream,
  createRegistry,
  openFileStore,
  PullThroughCache,
} from "../../src/registry/index.ts";
import { FakeRegistry, type RegistryOptions } from "../fakes/registry.ts";

const MiB = 1 << 20;
const OCI = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Cache {
  url: string;
  cache: PullThroughCache;
  root: string;
  upstream: FakeRegistry;
  image(tag: string, size?: number): { manifest: string; layer: string; data: Buffer };
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

async function startUpstream(options: RegistryOptions = {}): Promise<FakeRegistry> {
  const upstream = await FakeRegistry.listen(options);
  open.push(() => upstream[Symbol.asyncDispose]());
  return upstream;
}

async function start(
  upstreamOptions: RegistryOptions = {},
  more: Partial<CacheUpstream> = {},
): Promise<Cache> {
  const upstream = await startUpstream(upstreamOptions);
  const root = await mkdtemp(join(tmpdir(), "gantry-cache-test-"));
  open.push(() => rm(root, { recursive: true }));
  const options = {
    upstreams: [{ prefix: "cache/up", registry: upstream.host, tagSeconds: 0, ...more }],
    patienceMs: 2_000,
    restMs: 0,
  };
  const served = await serve(root, options);
  const image = (tag: string, size = 100_000) => {
    const data = randomBytes(size);
    const layer = upstream.putBlob("team/app", data);
    const config = upstream.putBlob("team/app", Buffer.from(JSON.stringify({ tag })));
    const document = {
      schemaVersion: 2,
      mediaType: OCI,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
    };
    const manifest = upstream.putManifest("team/app", tag, document, OCI);
    return { manifest, layer: layer.digest, data };
  };
  return { ...served, root, upstream, image };
}

async function serve(
  root: string,
  options: ConstructorParameters<typeof PullThroughCache>[0]["options"],
): Promise<{ url: string; cache: PullThroughCache; get: Cache["get"] }> {
  const store = await openFileStore(root);
  let cache: PullThroughCache | undefined;
  const server = createRegistry({
    store,
    wrapContent: (content) => (cache = new PullThroughCache({ content, store, options })),
  });
  const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
  open.push(async () => {
    await cache!.close();
    await server.close({ deadlineMs: 0 });
  });
  const url = `http://127.0.0.1:${port}`;
  const get: Cache["get"] = (path, headers = {}) => fetch(`${url}/v2/${path}`, { headers });
  return { url, cache: cache!, get };
}

async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}
const errorOf = async (answer: Response): Promise<string> =>
  ((await answer.json()) as { errors: { code: string }[] }).errors[0]!.code;

test("what was pulled once is served without the upstream", async () => {
  const c = await start({}, { tagSeconds: 300 });
  const { manifest, layer, data } = c.image("1");
  for (const _ of [1, 2]) {
    const answer = await c.get("cache/up/team/app/manifests/1");
    assert.equal(answer.headers.get("docker-content-digest"), manifest);
    assert.equal(answer.headers.get("content-type"), OCI);
    const blob = await c.get(`cache/up/team/app/blobs/${layer}`);
    assert.equal(Number(blob.headers.get("content-length")), data.length);
    assert.ok((await bytesOf(blob)).equals(data));
    await c.cache.idle();
  }
  assert.equal(c.upstream.asked(/^GET .*manifests/).length, 1);
  assert.equal(c.upstream.asked(/^GET .*blobs/).length, 1);
});

test("a hundred clients cost one fetch, and nobody waits for a slow one", async () => {
  const c = await start();
  const { layer, data } = c.image("1", 3 * MiB);
  const gate = Promise.withResolvers<void>();
  c.upstream.blobGate = gate.promise;
  const slow = await fetch(`${c.url}/v2/cache/up/team/app/blobs/${layer}`, {
    method: "HEAD",
  });
  assert.equal(slow.headers.get("content-length"), String(data.length));
  const lazy = c.get(`cache/up/team/app/blobs/${layer}`); // never reads its body
  const clients = Array.from({ length: 100 }, async () => {
    const answer = await c.get(`cache/up/team/app/blobs/${layer}`);
    const hash = createHash("sha256");
    for await (const chunk of answer.body!) hash.update(chunk);
    assert.equal(`sha256:${hash.digest("hex")}`, layer);
  });
  gate.resolve();
  await Promise.all(clients);
  assert.equal(c.upstream.asked(/^GET .*blobs/).length, 1);
  await (await lazy).body!.cancel();
  const tags = await Promise.all(
    Array.from({ length: 100 }, () => c.get("cache/up/team/app/manifests/1")),
  );
  assert.ok(tags.every(({ status }) => status === 200));
  await Promise.all(tags.map((answer) => answer.arrayBuffer()));
  assert.equal(c.upstream.asked(/^GET .*manifests/).length, 1);
});

test("bytes reach the client before the whole blob is here", async () => {
  const c = await start();
  const { layer, data } = c.image("1", 2 * MiB);
  c.upstream.faults = [{ match: /GET .*blobs/, stallAt: MiB }];
  const answer = await c.get(`cache/up/team/app/blobs/${layer}`);
  const reader = answer.body!.getReader();
  let got = 0;
  while (got < MiB) got += (await reader.read()).value!.length;
  assert.ok(got < data.length);
  await reader.cancel();
});

test("a cut upstream is taken up at the byte where it broke", async () => {
  const c = await start();
  const { layer, data } = c.image("1", 2 * MiB);
  c.upstream.faults = [{ match: /GET .*blobs/, cutAt: 700_000, times: 2 }];
  const answer = await c.get(`cache/up/team/app/blobs/${layer}`);
  assert.ok((await bytesOf(answer)).equals(data));
  const ranges = c.upstream.reads.map(({ range }) => range);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[1]!, /^bytes=[1-9]\d+-/);
  await c.cache.idle();
  assert.ok((await bytesOf(await c.get(`cache/up/team/app/blobs/${layer}`))).equals(data));
  assert.equal(c.upstream.asked(/^GET .*blobs/).length, 3);
});

test("bytes that do not match the digest are never whole at a client, and never kept", async () => {
  const c = await start();
  const { layer, data } = c.image("1");
  c.upstream.faults = [{ match: /GET .*blobs/, corrupt: true }];
  await assert.rejects(async () => bytesOf(await c.get(`cache/up/team/app/blobs/${layer}`)));
  assert.ok((await bytesOf(await c.get(`cache/up/team/app/blobs/${layer}`))).equals(data));
  c.image("2");
  c.upstream.faults = [
    {
      match: /GET .*manifests\/2/,
      status: 200,
      body: "{}",
      headers: { "Docker-Content-Digest": layer },
    },
  ];
  const bad = await c.get("cache/up/team/app/manifests/2");
  assert.equal(bad.status, 503);
  await bad.arrayBuffer();
  assert.equal((await c.get("cache/up/team/app/manifests/2")).status, 200);
});

test("a blob that is shorter than promised fails for the client and is not kept", async () => {
  const c = await start();
  const { layer } = c.image("1");
  c.upstream.faults = [{ match: /GET .*blobs/, truncateTo: 5_000, times: 100 }];
  await assert.rejects(async () => bytesOf(await c.get(`cache/up/team/app/blobs/${layer}`)));
  const uploads = await readdir(join(c.root, "docker/registry/v2/repositories/cache/up/team/app"))
    .then((names) => names.filter((name) => name === "_layers"))
    .catch(() => []);
  assert.deepEqual(uploads, []);
});

test("a range of what is not here yet comes, from near and from far", async () => {
  const c = await start();
  const { layer, data } = c.image("1", 20 * MiB);
  const path = `cache/up/team/app/blobs/${layer}`;
  const near = await c.get(path, { Range: "bytes=100-199" });
  assert.equal(near.status, 206);
  assert.equal(near.headers.get("content-range"), `bytes 100-199/${data.length}`);
  assert.ok((await bytesOf(near)).equals(data.subarray(100, 200)));

  const d = await start();
  const far = d.image("1", 20 * MiB);
  const farPath = `cache/up/team/app/blobs/${far.layer}`;
  d.upstream.faults = [{ match: /GET .*blobs/, stallAt: 300_000 }];
  const beginning = (await d.get(farPath)).body!.getReader();
  await beginning.read();
  const end = await d.get(farPath, { Range: `bytes=${19 * MiB}-` });
  assert.equal(end.status, 206);
  assert.ok((await bytesOf(end)).equals(far.data.subarray(19 * MiB)));
  await beginning.cancel();
});

test("a tag is checked again, and a new image found", async () => {
  const c = await start();
  const first = c.image("latest");
  const digest = async () => {
    const answer = await c.get("cache/up/team/app/manifests/latest");
    await answer.arrayBuffer();
    return answer.headers.get("docker-content-digest");
  };
  assert.equal(await digest(), first.manifest);
  assert.equal(await digest(), first.manifest);
  assert.equal(c.upstream.asked(/^GET .*manifests/).length, 1);
  assert.equal(c.upstream.asked(/^HEAD .*manifests/).length, 1);
  const second = c.image("latest");
  assert.equal(await digest(), second.manifest);
  const old = await c.get(`cache/up/team/app/manifests/${first.manifest}`);
  assert.equal(old.status, 200);
  await old.arrayBuffer();
  c.upstream.manifests.delete("team/app latest");
  const gone = await c.get("cache/up/team/app/manifests/latest");
  assert.equal(gone.status, 404);
  assert.equal(await errorOf(gone), "MANIFEST_UNKNOWN");
});

test("when the upstream is down, limits or fails, what is kept counts on", async () => {
  const c = await start();
  const { manifest } = c.image("1");
  const pull = async () => {
    const answer = await c.get("cache/up/team/app/manifests/1");
    await answer.arrayBuffer();
    return [answer.status, answer.headers.get("docker-content-digest")];
  };
  await pull();
  for (const status of [500, 502, 503, 429]) {
    c.upstream.faults = [{ match: /manifests/, status, times: 100 }];
    assert.deepEqual(await pull(), [200, manifest], `upstream answers ${status}`);
  }
  const limited = { status: 429, headers: { "Retry-After": "3000" } };
  c.upstream.faults = [{ match: /manifests/, ...limited, times: 100 }];
  assert.deepEqual(await pull(), [200, manifest]);
  const other = await c.get("cache/up/team/app/manifests/2");
  assert.equal(other.status, 429);
  assert.equal(other.headers.get("retry-after"), "3000");
  assert.equal(await errorOf(other), "TOOMANYREQUESTS");
  await c.upstream[Symbol.asyncDispose]();
  open.splice(0, 1);
  assert.deepEqual(await pull(), [200, manifest]);
  const unknown = await c.get("cache/up/team/app/manifests/3");
  assert.equal(unknown.status, 503);
  await unknown.arrayBuffer();
});

test("the upstream gets our credentials and never those of a client", async () => {
  const user = { name: "cache", password: "of the cache" };
  const folder = await mkdtemp(join(tmpdir(), "gantry-cache-test-"));
  open.push(() => rm(folder, { recursive: true }));
  const passwordFile = join(folder, "password");
  await writeFile(passwordFile, `${user.password}\n`);
  const c = await start({ user, tokens: "users" }, { username: user.name, passwordFile });
  const { layer } = c.image("1");
  const Authorization = `Basic ${Buffer.from("client:secret").toString("base64")}`;
  const answer = await c.get("cache/up/team/app/manifests/1", { Authorization });
  assert.equal(answer.status, 200);
  await answer.arrayBuffer();
  await (await c.get(`cache/up/team/app/blobs/${layer}`, { Authorization })).arrayBuffer();
  const sent = c.upstream.headers.map(({ authorization = "" }) => authorization);
  assert.ok(sent.some((header) => header.startsWith("Bearer ")));
  assert.ok(!sent.includes(Authorization));
});

test("what the upstream refuses us is refused, without asking the client to log in", async () => {
  const c = await start({ user: { name: "a", password: "b" } });
  c.image("1");
  const answer = await c.get("cache/up/team/app/manifests/1");
  assert.equal(answer.status, 403);
  assert.equal(await errorOf(answer), "DENIED");
});

test("a cache is not pushed to; beside it is a registry", async () => {
  const c = await start();
  const post = (name: string) => fetch(`${c.url}/v2/${name}/blobs/uploads/`, { method: "POST" });
  const refused = await post("cache/up/team/app");
  assert.equal(refused.status, 405);
  assert.equal(await errorOf(refused), "UNSUPPORTED");
  const put = await fetch(`${c.url}/v2/cache/up/team/app/manifests/1`, {
    method: "PUT",
    body: '{"schemaVersion":2}',
    headers: { "Content-Type": OCI },
  });
  assert.equal(put.status, 405);
  await put.arrayBuffer();
  assert.equal((await post("ours/app")).status, 202);
});

test("several upstreams by prefix and by ns, and library for Docker Hub", async () => {
  const [hub, other] = [await startUpstream(), await startUpstream()];
  const root = await mkdtemp(join(tmpdir(), "gantry-cache-test-"));
  open.push(() => rm(root, { recursive: true }));
  const upstreams: CacheUpstream[] = [
    { prefix: "cache/hub", registry: hub.host, namespaces: ["docker.io"] },
    { prefix: "cache/other", registry: other.host },
  ];
  const { get } = await serve(root, { upstreams });
  const image = (registry: FakeRegistry, name: string) => {
    const config = registry.putBlob(name, Buffer.from(`{"n":"${name}"}`));
    const type = "application/vnd.oci.image.config.v1+json";
    const document = {
      schemaVersion: 2,
      mediaType: OCI,
      config: { mediaType: type, ...config },
      layers: [],
    };
    return registry.putManifest(name, "1", document, OCI);
  };
  const mine = image(hub, "team/app");
  const theirs = image(other, "else/app");
  const digest = async (path: string) => {
    const answer = await get(path);
    await answer.arrayBuffer();
    return answer.headers.get("docker-content-digest");
  };
  assert.equal(await digest("team/app/manifests/1?ns=docker.io"), mine);
  assert.equal(await digest("cache/hub/team/app/manifests/1"), mine);
  assert.equal(await digest(`else/app/manifests/1?ns=${other.host}`), theirs);
  assert.equal(await digest("cache/other/else/app/manifests/1"), theirs);
  assert.equal(hub.asked(/^GET .*manifests/).length, 1);
  assert.equal((await get("team/app/manifests/1")).status, 404);
});

test("tags and referrers are the upstream's, and what is kept when it is away", async () => {
  const c = await start();
  const { manifest } = c.image("1");
  c.image("2");
  const tags = async (query = "") =>
    ((await (await c.get(`cache/up/team/app/tags/list${query}`)).json()) as { tags: string[] })
      .tags;
  assert.deepEqual(await tags(), ["1", "2"]);
  assert.deepEqual(await tags("?n=1&last=1"), ["2"]);
  assert.equal((await c.get("cache/up/no/such/tags/list")).status, 404);
  await (await c.get("cache/up/team/app/manifests/1")).arrayBuffer();
  const referrer = { mediaType: OCI, digest: manifest, size: 7, artifactType: "a/b" };
  c.upstream.faults = [
    {
      match: /referrers/,
      status: 200,
      headers: { "Content-Type": INDEX },
      body: JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [referrer] }),
    },
    { match: /tags/, status: 500, times: 100 },
  ];
  const found = await c.get(`cache/up/team/app/referrers/${manifest}`);
  assert.deepEqual(((await found.json()) as { manifests: unknown }).manifests, [referrer]);
  const none = await c.get(`cache/up/team/app/referrers/${manifest}`);
  assert.deepEqual(((await none.json()) as { manifests: unknown }).manifests, []);
  assert.deepEqual(await tags(), ["1"]);
});

test("what nobody asked for is forgotten, what is used stays", async () => {
  const c = await start();
  const used = c.image("used");
  const unused = c.image("unused");
  for (const { layer, manifest } of [used, unused]) {
    for (const path of [`blobs/${layer}`, `manifests/${manifest}`]) {
      await (await c.get(`cache/up/team/app/${path}`)).arrayBuffer();
    }
    await c.cache.idle();
  }
  for (const tag of ["used", "unused"]) {
    await (await c.get(`cache/up/team/app/manifests/${tag}`)).arrayBuffer();
  }
  const repository = join(c.root, "docker/registry/v2/repositories/cache/up/team/app");
  const monthAgo = Date.now() / 1000 - 30 * 86_400;
  for (const entry of await readdir(repository, { recursive: true })) {
    if (entry.endsWith("/link")) await utimes(join(repository, entry), monthAgo, monthAgo);
  }
  await (await c.get("cache/up/team/app/manifests/used")).arrayBuffer();
  await (await c.get(`cache/up/team/app/blobs/${used.layer}`)).arrayBuffer();
  assert.ok((await c.cache.expire()) > 0);
  const left = await readdir(repository, { recursive: true });
  const hex = (digest: string) => digest.slice("sha256:".length);
  assert.ok(left.some((path) => path.includes(hex(used.layer))));
  assert.ok(left.some((path) => path.includes("tags/used/")));
  assert.ok(!left.some((path) => path.includes(hex(unused.layer)) && path.endsWith("link")));
  assert.ok(!left.some((path) => path.includes("tags/unused/")));
  c.upstream.requests.length = 0;
  const again = await c.get(`cache/up/team/app/blobs/${used.layer}`);
  assert.ok((await bytesOf(again)).equals(used.data));
  assert.deepEqual(c.upstream.asked(/blobs/), []);
  const back = await c.get(`cache/up/team/app/blobs/${unused.layer}`);
  assert.ok((await bytesOf(back)).equals(unused.data));
});

test("a blob that another repository brought is asked for, but not fetched again", async () => {
  const c = await start();
  const { layer, data } = c.image("1");
  await (await c.get(`cache/up/team/app/blobs/${layer}`)).arrayBuffer();
  await c.cache.idle();
  assert.equal((await c.get(`cache/up/team/other/blobs/${layer}`)).status, 404);
  c.upstream.putBlob("team/other", data);
  const answer = await c.get(`cache/up/team/other/blobs/${layer}`);
  assert.ok((await bytesOf(answer)).equals(data));
  assert.equal(c.upstream.asked(/^GET .*blobs/).length, 1);
});
