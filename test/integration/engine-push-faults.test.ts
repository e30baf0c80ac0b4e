// Uploads against a registry that misbehaves: cuts, refusals, lost answers, wrong addresses. What
// arrives is what was sent, a retry goes on where the registry stopped, and no session stays open.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterEach, describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  type BlobPlace,
  type PushImage,
  type PushStore,
  pushImage,
  Registries,
} from "../../src/distribution/index.ts";
import { parseReference } from "../../src/spec/index.ts";
import { digest, FakeRegistry, type RegistryOptions } from "../fakes/registry.ts";

const GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG = "application/vnd.docker.container.image.v1+json";

type Blob = { mediaType: string; digest: string; size: number };

/** A store in memory: layers are any bytes here. */
class FakeStore implements PushStore {
  readonly tars = new Map<string, Buffer>();
  readonly kept = new Map<string, Buffer>();
  readonly noted = new Map<string, Blob[]>();
  readonly places = new Map<string, BlobPlace[]>();
  readonly setAside: string[] = [];
  openStreams = 0;

  add(tar: Buffer): string {
    this.tars.set(digest(tar), tar);
    return digest(tar);
  }
  #stream(data: Buffer): Readable {
    const parts = function* (): Generator<Buffer> {
      for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
    };
    const stream = Readable.from(parts(), { objectMode: false });
    this.openStreams++;
    return stream.once("close", () => this.openStreams--);
  }
  tar = async (diffId: string): Promise<Readable> => this.#stream(this.tars.get(diffId)!);
  openBlob = async (name: string): Promise<Readable> => this.#stream(this.kept.get(name)!);
  keptBlobs = (diffId: string): string[] =>
    this.blobs(diffId).flatMap((blob) => (this.kept.has(blob.digest) ? [blob.digest] : []));
  damaged = async (_: string, name: string): Promise<void> => {
    this.setAside.push(name);
    this.kept.delete(name);
  };
  noteBlob = (diffId: string, blob: Blob): void => {
    const others = this.blobs(diffId).filter((other) => other.digest !== blob.digest);
    this.noted.set(diffId, [...others, blob]);
  };
  blobs = (diffId: string): Blob[] => this.noted.get(diffId) ?? [];
  sources = (name: string): BlobPlace[] => this.places.get(name) ?? [];
  noteSource = (name: string, place: BlobPlace): void =>
    void this.places.set(name, [place, ...this.sources(name)]);
  forgetSource = (name: string, place: BlobPlace): void =>
    void this.places.set(
      name,
      this.sources(name).filter((other) => other.repository !== place.repository),
    );
}

function registries(o: { allow?: string[]; uploads?: number } = {}): Registries {
  return new Registries({
    insecureRegistries: [],
    mirrors: [],
    maxConcurrentDownloads: 3,
    maxConcurrentUploads: o.uploads ?? 5,
    maxDownloadAttempts: 5,
    certificateFolders: [],
    userAgent: "test",
    retryDelaysMs: [1],
    ...(o.allow ? { allowNondistributableArtifacts: o.allow } : {}),
  });
}

/** Half of it can be compressed. */
function content(bytes: number): Buffer {
  return Buffer.concat([randomBytes(bytes >> 1), Buffer.alloc(bytes - (bytes >> 1), "abcdefg\n")]);
}

function imageOf(store: FakeStore, diffIds: string[]): PushImage {
  const rootfs = { type: "layers", diff_ids: diffIds };
  const made = randomBytes(4).toString("hex");
  return {
    rawConfig: Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs, made })),
    layers: diffIds.map((diffId) => ({
      diffId,
      size: store.tars.get(diffId)!.length,
      tarSize: store.tars.get(diffId)!.length,
      mountFrom: [],
    })),
  };
}

/** The same with a manifest over these blobs, as a pull leaves it. */
function pulled(image: PushImage, layers: (Blob & { urls?: string[] })[]): PushImage {
  const config = {
    mediaType: CONFIG,
    size: image.rawConfig.length,
    digest: digest(image.rawConfig),
  };
  const document = { schemaVersion: 2, mediaType: MANIFEST, config, layers };
  const raw = Buffer.from(JSON.stringify(document));
  return { ...image, manifest: { raw, mediaType: MANIFEST } };
}

interface Pushing {
  registry: FakeRegistry;
  store: FakeStore;
  image: PushImage;
  through?: Registries;
  repository?: string;
  signal?: AbortSignal;
  credentials?: { username: string; password: string };
}
async function push(o: Pushing): Promise<{ digest: string; lines: string[] }> {
  const lines: string[] = [];
  const pushed = await pushImage(o.through ?? registries(), o.store, {
    reference: parseReference(`${o.registry.host}/${o.repository ?? "a/b"}:1`),
    image: o.image,
    ...(o.credentials ? { credentials: o.credentials } : {}),
    tell: ({ status, id }) => void (status && lines.push(id ? `${id}: ${status}` : `${status}`)),
    signal: o.signal ?? new AbortController().signal,
  });
  return { digest: pushed, lines };
}

/** Every layer of what the registry has under the tag, uncompressed. */
function arrived(registry: FakeRegistry, repository = "a/b"): string[] {
  const { raw } = registry.manifests.get(`${repository} 1`)!;
  const { layers } = JSON.parse(raw.toString()) as { layers: Blob[] };
  return layers.map((layer) => {
    assert.ok(registry.links.has(`${repository} ${layer.digest}`), "the repository has the blob");
    const data = registry.blobs.get(layer.digest)!;
    assert.equal(data.length, layer.size);
    return digest(layer.mediaType.endsWith("gzip") ? gunzipSync(data) : data);
  });
}

async function nothingLeft(registry: FakeRegistry, store: FakeStore): Promise<void> {
  assert.equal(registry.uploads.sessions.size, 0, "no session stays open");
  await streamsEnded(store);
}

/** A stream is closed when what was being done with its last piece has been done. */
async function streamsEnded(store: FakeStore): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (store.openStreams > 0 && Date.now() < deadline) await new Promise(setImmediate);
  assert.equal(store.openStreams, 0, "no stream stays open");
}

describe("uploads to a registry that misbehaves", () => {
  const open: FakeRegistry[] = [];
  async function listen(options: RegistryOptions = {}): Promise<FakeRegistry> {
    const registry = await FakeRegistry.listen(options);
    open.push(registry);
    return registry;
  }
  afterEach(async () => {
    for (const registry of open.splice(0)) await registry[Symbol.asyncDispose]();
  });

  async function scene(bytes = 6_000_000) {
    const registry = await listen();
    const store = new FakeStore();
    const diffId = store.add(content(bytes));
    return { registry, store, diffId, image: imageOf(store, [diffId]) };
  }

  test("a connection that is cut at any byte goes on there", async () => {
    const { store, diffId, image } = await scene();
    const size = 3_000_000;
    for (const at of [1, 65_536, size - 7, Math.floor(Math.random() * size)]) {
      const registry = await listen();
      registry.faults.push({ match: /PATCH/, cutUploadAt: at, times: 1 });
      await push({ registry, store, image });
      assert.deepEqual(arrived(registry), [diffId], `cut at ${at}`);
      const sent = registry.uploads.bytesReceived;
      const { raw } = registry.manifests.get("a/b 1")!;
      const blob = (JSON.parse(raw.toString()) as { layers: Blob[] }).layers[0]!;
      const config = image.rawConfig.length;
      if (at > 1) assert.equal(sent, blob.size + config, "no byte is taken twice");
      await nothingLeft(registry, store);
      store.noted.clear();
    }
  });

  test("again and again, as long as it comes farther", async () => {
    const { registry, store, diffId, image } = await scene();
    registry.faults.push({ match: /PATCH/, cutUploadAt: 300_000, times: 8 });
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    await nothingLeft(registry, store);
  });

  test("a registry that forgets a cut upload gets it anew", async () => {
    const { registry, store, diffId, image } = await scene();
    registry.uploads.behaviour = { forgets: true };
    registry.faults.push({ match: /PATCH/, cutUploadAt: 100_000 });
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    await nothingLeft(registry, store);
  });

  for (const [what, behaviour] of [
    ["wants a length", { needsLength: true }],
    ["wants chunks of nine megabytes", { needsLength: true, chunkBytesMin: 9 << 20 }],
    ["takes ten megabytes at most", { requestBytesMax: 10 << 20, needsLength: true }],
    ["takes blobs with the POST", { single: true }],
  ] as const) {
    test(`a registry that ${what} gets what it wants`, async () => {
      const { registry, store, diffId, image } = await scene(20_000_000);
      registry.uploads.behaviour = behaviour;
      await push({ registry, store, image });
      assert.deepEqual(arrived(registry), [diffId]);
      await nothingLeft(registry, store);
      for (const { "content-range": range } of registry.headers) {
        assert.match(range ?? "0-0", /^\d+-\d+$/);
      }
    });
  }

  test("a small layer and a config go up in one request each", async () => {
    const { registry, store, diffId, image } = await scene(40_000);
    registry.uploads.behaviour = { single: true };
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    assert.equal(registry.asked(/^(POST|PATCH|PUT) .*uploads/).length, 2);
  });

  for (const [what, fault] of [
    ["500s", { status: 500, times: 2 }],
    ["503 with Retry-After", { status: 503, headers: { "Retry-After": "0" }, times: 2 }],
    ["429 with Retry-After", { status: 429, headers: { "Retry-After": "0" }, times: 2 }],
  ] as const) {
    for (const match of [
      /^HEAD .*blobs/,
      /^POST/,
      /^PATCH/,
      /^PUT .*uploads/,
      /^PUT .*manifests/,
    ]) {
      test(`${what} at ${match.source} are outlived`, async () => {
        const { registry, store, diffId, image } = await scene(1_500_000);
        registry.faults.push({ match, ...fault });
        await push({ registry, store, image });
        assert.deepEqual(arrived(registry), [diffId]);
        await nothingLeft(registry, store);
      });
    }
  }

  test("an answer that is lost after the blob was stored costs no second upload", async () => {
    const { registry, store, diffId, image } = await scene();
    registry.faults.push({ match: /^PUT .*uploads/, loseAnswer: true });
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    assert.equal(registry.asked(/^PATCH/).length, 1);
    await nothingLeft(registry, store);
  });

  test("a digest that is refused once is tried again, a digest that is refused always is told", async () => {
    const { registry, store, diffId, image } = await scene();
    const errors = [{ code: "DIGEST_INVALID", message: "provided digest did not match" }];
    const refusal = { match: /^PUT .*uploads/, status: 400, body: JSON.stringify({ errors }) };
    registry.faults.push({ ...refusal, times: 1 });
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    await nothingLeft(registry, store);
    const stubborn = await listen();
    stubborn.faults.push({ ...refusal, times: 99 });
    await assert.rejects(push({ registry: stubborn, store, image }), {
      message: "digest invalid: provided digest did not match",
    });
    await nothingLeft(stubborn, store);
  });

  test("a registry that is full of errors gives the error after five attempts", async () => {
    const { registry, store, image } = await scene();
    registry.faults.push({ match: /^PATCH/, status: 500, times: 99 });
    const told: string[] = [];
    await assert.rejects(
      pushImage(registries(), store, {
        reference: parseReference(`${registry.host}/a/b:1`),
        image,
        tell: ({ status }) => void told.push(String(status)),
        signal: new AbortController().signal,
      }),
      { message: "received unexpected HTTP status: 500 Internal Server Error" },
    );
    assert.equal(registry.asked(/^PATCH/).length, 5);
    assert.equal(told.filter((status) => status === "Retrying in 1 second").length, 4);
    await nothingLeft(registry, store);
  });

  test("a Location that leads nowhere is not followed for ever", async () => {
    const { registry, store, diffId, image } = await scene();
    const nowhere = "http://127.0.0.1:9/v2/a/b/blobs/uploads/x";
    const lost = { match: /^POST/, status: 202, headers: { Location: nowhere } };
    registry.faults.push({ ...lost, times: 1 });
    await push({ registry, store, image });
    assert.deepEqual(arrived(registry), [diffId]);
    const wrong = await listen();
    for (const [location, message] of [
      ["file:///etc/passwd", /unsupported scheme file:/],
      ["http://[", /bad Location/],
    ] as const) {
      wrong.faults = [{ match: /^POST/, status: 202, headers: { Location: location }, times: 9 }];
      await assert.rejects(push({ registry: wrong, store, image }), { message });
    }
    wrong.faults = [{ match: /^POST/, status: 202, times: 9 }];
    await assert.rejects(push({ registry: wrong, store, image }), { message: /no Location/ });
    await nothingLeft(wrong, store);
  });

  test("an upload at another host gets no credentials", async () => {
    const user = { name: "me", password: "secret" };
    const registry = await listen({ user });
    const elsewhere = await listen();
    const store = new FakeStore();
    const diffId = store.add(content(3_000_000));
    registry.uploads.behaviour = { absoluteTo: `http://${elsewhere.host}` };
    const image = imageOf(store, [diffId]);
    const credentials = { username: "me", password: "secret" };
    await assert.rejects(push({ registry, store, image, credentials }), /blob upload unknown/);
    assert.ok(elsewhere.requests.length > 0);
    assert.ok(elsewhere.headers.every(({ authorization }) => authorization === undefined));
  });

  test("a streamed upload follows a redirect to an object store, without credentials", async () => {
    const user = { name: "me", password: "secret" };
    const registry = await listen({ user });
    const bucket = await listen();
    const store = new FakeStore();
    const diffId = store.add(content(3_000_000));
    const Location = `http://${bucket.host}/v2/x/blobs/uploads/`;
    registry.faults.push({ match: /^PATCH/, status: 307, headers: { Location }, times: 1 });
    bucket.faults.push({ match: /^PATCH/, status: 202, times: 1 }); // and loses it
    const image = imageOf(store, [diffId]);
    const credentials = { username: "me", password: "secret" };
    await push({ registry, store, image, credentials });
    assert.deepEqual(arrived(registry), [diffId]);
    assert.equal(bucket.asked(/^PATCH/).length, 1);
    assert.ok(bucket.headers.every(({ authorization }) => authorization === undefined));
  });

  test("whoever stops leaves no session and no stream", async () => {
    const { registry, store, image } = await scene();
    const stop = new AbortController();
    registry.faults.push({ match: /^PATCH/, cutUploadAt: 200_000, times: 99 });
    const pushing = push({ registry, store, image, signal: stop.signal });
    while (registry.asked(/^PATCH/).length === 0) await new Promise(setImmediate);
    stop.abort(new Error("the client went away"));
    await assert.rejects(pushing, /the client went away/);
    await nothingLeft(registry, store);
  });

  test("a registry that dies in the middle is an error that names it", async () => {
    const { registry, store, image } = await scene();
    const pushing = push({ registry, store, image });
    pushing.catch(() => {});
    while (registry.asked(/^PATCH/).length === 0) await new Promise(setImmediate);
    const { host } = registry;
    await registry[Symbol.asyncDispose]();
    await assert.rejects(pushing, ({ message }: Error) => message.includes(host));
    await streamsEnded(store);
  });

  test("refusals are worded as docker words them, and not repeated", async () => {
    const { registry, store, image } = await scene();
    const errors = [{ code: "DENIED", message: "requested access to the resource is denied" }];
    const body = JSON.stringify({ errors });
    registry.faults.push({ match: /^POST/, status: 403, body, times: 99 });
    await assert.rejects(push({ registry, store, image }), {
      message: "denied: requested access to the resource is denied",
    });
    assert.equal(registry.asked(/^POST/).length, 1);
    await nothingLeft(registry, store);
  });

  test("a token that does not go far enough is denied in docker's words", async () => {
    const registry = await listen({ tokens: "anonymous" });
    const store = new FakeStore();
    const image = imageOf(store, [store.add(content(200_000))]);
    const realm = `Bearer realm="http://${registry.host}/token"`;
    const headers = { "WWW-Authenticate": `${realm},error="insufficient_scope"` };
    const errors = [{ code: "UNAUTHORIZED", message: "authentication required" }];
    const body = JSON.stringify({ errors });
    registry.faults.push({ match: /^POST/, status: 401, headers, body, times: 99 });
    await assert.rejects(push({ registry, store, image }), {
      message:
        "errors:\ndenied: requested access to the resource is denied\n" +
        "unauthorized: authentication required\n",
    });
    await nothingLeft(registry, store);
  });

  test("a token that runs out during an upload is renewed, and the upload goes on", async () => {
    const registry = await listen({ tokens: "anonymous" });
    const store = new FakeStore();
    const diffId = store.add(content(5_000_000));
    const headers = { "WWW-Authenticate": `Bearer realm="http://${registry.host}/token"` };
    registry.faults.push({ match: /^PATCH/, status: 401, headers });
    await push({ registry, store, image: imageOf(store, [diffId]) });
    assert.deepEqual(arrived(registry), [diffId]);
    await nothingLeft(registry, store);
  });

  test("a mount asks for the right to read where it is from", async () => {
    const registry = await listen({ tokens: "anonymous" });
    const store = new FakeStore();
    const tar = content(200_000);
    const diffId = store.add(tar);
    const data = gzipSync(tar);
    const blob = { mediaType: GZIP, ...registry.putBlob("lib/app", data) };
    store.noteBlob(diffId, blob);
    store.noteSource(blob.digest, { registry: registry.host, repository: "lib/app" });
    await push({ registry, store, image: imageOf(store, [diffId]) });
    const scopes = registry.tokenScopes.map((asked) => asked.join(" "));
    assert.ok(scopes.includes("repository:a/b:pull,push"), scopes.join("\n"));
    assert.ok(scopes.includes("repository:a/b:pull,push repository:lib/app:pull"));
    assert.deepEqual(arrived(registry), [diffId]);
  });

  test("two pushes of one layer share its upload", async () => {
    const { registry, store, diffId, image } = await scene();
    const through = registries();
    const [first, second] = await Promise.all([
      push({ registry, store, image, through }),
      push({ registry, store, image, through }),
    ]);
    assert.equal(registry.asked(/^PATCH/).length, 1);
    assert.equal(first.digest, second.digest);
    assert.deepEqual(arrived(registry), [diffId]);
  });

  test("a second push moves nothing, and compressing again gives the same blob", async () => {
    const { registry, store, diffId, image } = await scene();
    const first = await push({ registry, store, image });
    const again = await push({ registry, store, image });
    assert.equal(again.digest, first.digest);
    assert.equal(registry.asked(/^PATCH/).length, 1);
    const other = await listen();
    store.places.clear();
    const elsewhere = await push({ registry: other, store, image });
    assert.equal(elsewhere.digest, first.digest);
    assert.deepEqual(arrived(other), [diffId]);
  });

  describe("what was pulled keeps its digest", () => {
    async function pulledScene(o: { algorithm?: "sha512" } = {}) {
      const source = await listen();
      const store = new FakeStore();
      const tar = content(4_000_000);
      const diffId = store.add(tar);
      const data = gzipSync(tar, { level: 9 });
      const blob = { mediaType: GZIP, ...source.putBlob("lib/app", data) };
      if (o.algorithm) {
        blob.digest = `sha512:${createHash("sha512").update(data).digest("hex")}`;
        source.blobs.set(blob.digest, data);
        source.links.add(`lib/app ${blob.digest}`);
      }
      store.noteBlob(diffId, blob);
      const image = pulled(imageOf(store, [diffId]), [blob]);
      return { source, store, diffId, data, blob, image };
    }
    const place = (registry: FakeRegistry): BlobPlace => ({
      registry: registry.host,
      repository: "lib/app",
    });

    for (const algorithm of [undefined, "sha512"] as const) {
      test(`from the kept blob (${algorithm ?? "sha256"})`, async () => {
        const { store, diffId, data, blob, image } = await pulledScene({
          ...(algorithm ? { algorithm } : {}),
        });
        const target = await listen();
        store.kept.set(blob.digest, data);
        const pushed = await push({ registry: target, store, image });
        assert.equal(pushed.digest, digest(image.manifest!.raw));
        assert.ok(target.manifests.get("a/b 1")!.raw.equals(Buffer.from(image.manifest!.raw)));
        assert.deepEqual(arrived(target), [diffId]);
        assert.equal(target.asked(/^PATCH/).length, 0, "one PUT, since all is known");
        await nothingLeft(target, store);
      });
    }

    test("from the registry that it came from, even when both sides break off", async () => {
      const { source, store, diffId, blob, image } = await pulledScene();
      const target = await listen();
      store.noteSource(blob.digest, place(source));
      source.faults.push({ match: /GET .*blobs/, cutAt: 500_000, times: 2 });
      target.faults.push({ match: /^P(UT|ATCH) .*uploads/, cutUploadAt: 700_000, times: 2 });
      const pushed = await push({ registry: target, store, image });
      assert.equal(pushed.digest, digest(image.manifest!.raw));
      assert.deepEqual(arrived(target), [diffId]);
      await nothingLeft(target, store);
    });

    test("credentials for the target do not go to the source", async () => {
      const { source, store, blob, image } = await pulledScene();
      const user = { name: "me", password: "secret" };
      const target = await listen({ user });
      store.noteSource(blob.digest, place(source));
      const credentials = { username: "me", password: "secret" };
      await push({ registry: target, store, image, credentials });
      assert.ok(source.headers.every(({ authorization }) => authorization === undefined));
      assert.ok(source.asked(/GET .*blobs/).length > 0);
    });

    test("a kept blob that is damaged is set aside, and the source gives another", async () => {
      const { source, store, diffId, data, blob, image } = await pulledScene();
      const target = await listen();
      store.noteSource(blob.digest, place(source));
      store.kept.set(blob.digest, Buffer.alloc(data.length, 1));
      const pushed = await push({ registry: target, store, image });
      assert.equal(pushed.digest, digest(image.manifest!.raw));
      assert.deepEqual(store.setAside, [blob.digest]);
      assert.deepEqual(arrived(target), [diffId]);
      await nothingLeft(target, store);
    });

    test("where nobody has the blob any more the layer is compressed, with another digest", async () => {
      const { source, store, diffId, blob, image } = await pulledScene();
      const target = await listen();
      store.noteSource(blob.digest, place(source));
      source.blobs.clear();
      const pushed = await push({ registry: target, store, image });
      assert.notEqual(pushed.digest, digest(image.manifest!.raw));
      assert.deepEqual(arrived(target), [diffId]);
      const left = store.sources(blob.digest);
      assert.deepEqual(left, [], "the source is forgotten");
      await nothingLeft(target, store);
    });

    test("another repository of the same registry gets it mounted", async () => {
      const { source, store, diffId, blob, image } = await pulledScene();
      store.noteSource(blob.digest, place(source));
      const { lines } = await push({ registry: source, store, image });
      assert.ok(lines.includes(`${diffId.slice(7, 19)}: Mounted from lib/app`));
      assert.equal(source.uploads.bytesReceived, image.rawConfig.length);
      assert.deepEqual(arrived(source), [diffId]);
      await nothingLeft(source, store);
    });
  });

  test("foreign layers stay where they are unless their registry may have them", async () => {
    const registry = await listen();
    const store = new FakeStore();
    const tar = content(2_000_000);
    const diffId = store.add(tar);
    const data = gzipSync(tar);
    const mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    const urls = ["https://example.com/layer"];
    const blob = { mediaType, digest: digest(data), size: data.length, urls };
    store.noteBlob(diffId, blob);
    store.kept.set(blob.digest, data);
    const image = pulled(imageOf(store, [diffId]), [blob]);
    const { lines } = await push({ registry, store, image });
    assert.ok(lines.includes(`${diffId.slice(7, 19)}: Skipped foreign layer`));
    assert.ok(!registry.blobs.has(blob.digest));
    const through = registries({ allow: ["127.0.0.0/8"] });
    await push({ registry, store, image, through });
    assert.ok(registry.blobs.has(blob.digest));
  });
});
