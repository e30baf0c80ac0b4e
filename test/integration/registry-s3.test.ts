// The registry's store on S3, against a real S3 server: the suite of every store, and what only S3
// can get wrong. Skipped, and said so, where the server cannot be had.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { pipeline, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, describe, test } from "node:test";
import { createServer } from "node:tls";
import { kindOf } from "../../src/base/index.ts";
import { Registries } from "../../src/distribution/index.ts";
import { collectGarbage, createContent, PullThroughCache } from "../../src/registry/index.ts";
import type { S3StoreOptions } from "../../src/registry/s3-options.ts";
import { S3Store } from "../../src/registry/s3-store.ts";
import { FakeRegistry } from "../fakes/registry.ts";
import { makeCertificate } from "../support/certificates.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { objectStoreSuite } from "../support/object-store-suite.ts";
import {
  imageOf,
  OCI_MANIFEST,
  pullWhole,
  randomLayer,
  upload,
} from "../support/registry-content.ts";
import { s3Program, startS3Server } from "../support/s3-server.ts";

const MiB = 1 << 20;
const program = await s3Program();
if ("missing" in program) test("the S3 store", { skip: program.missing }, () => {});
else {
  const server = await startS3Server(program.path);
  after(() => server[Symbol.asyncDispose]());
  /** Small parts and copies, so that small objects go every way that large ones go. */
  const options = { ...server.options, partBytes: 5 * MiB, copyBytesMax: 6 * MiB };
  objectStoreSuite("S3", {
    bytesMax: 12 * MiB,
    fresh: async () => {
      const rootPrefix = `suite/${randomUUID()}`;
      return {
        open: async () => new S3Store({ ...options, rootPrefix }),
        remove: async () => {},
      };
    },
  });
  describe("S3 alone", () => ownTests(options));
  describe("a registry's content in a bucket", () => contentTests(options));
  describe("registries over one bucket", () => registryTests(options));
}

function ownTests(options: S3StoreOptions): void {
  const open = (more: Partial<S3StoreOptions> = {}): S3Store =>
    new S3Store({ ...options, rootPrefix: `own/${randomUUID()}`, ...more });
  const pending = "r/_uploads/u";

  test("a presigned address gives the object to anybody, and nothing else", async () => {
    const store = open();
    await store.write("a/b c+d", Buffer.from("hello"));
    const url = (await store.url("a/b c+d", { method: "GET" }))!;
    assert.equal(await (await fetch(url)).text(), "hello");
    const part = await fetch(url, { headers: { Range: "bytes=1-2" } });
    assert.equal(part.status, 206);
    assert.equal(await part.text(), "el");
    const other = url.replace("b%20c%2Bd", "other");
    assert.notEqual(other, url);
    assert.equal((await fetch(other)).status, 403);
    assert.equal((await fetch(url.split("?")[0]!)).status, 403);
    const head = (await store.url("a/b c+d", { method: "HEAD" }))!;
    assert.equal((await fetch(head, { method: "HEAD" })).headers.get("content-length"), "5");
    assert.equal(await open({ redirect: false }).url("a", { method: "GET" }), undefined);
    const elsewhere = open({ redirectEndpoint: "https://blobs.example.com" });
    assert.match(
      (await elsewhere.url("a", { method: "GET" }))!,
      /^https:\/\/blobs\.example\.com\//,
    );
    await store.close();
  });

  test("parts that another process has overwritten are not taken for ours", async () => {
    const rootPrefix = `own/${randomUUID()}`;
    const [mine, evil] = [open({ rootPrefix }), open({ rootPrefix })];
    const data = randomBytes(11 * MiB);
    await mine.appendTo(pending, 0, Readable.from([data]));
    // As if the process that holds the upload had been taken for dead.
    const { client, part } = await partOf(options, `${rootPrefix}/gantry-uploads/${pending}/data`);
    await client.send(part(Buffer.alloc(5 * MiB, 7)));
    const refused = await mine.completeUpload(pending, "done", data.length).then(
      () => false,
      (error) => kindOf(error) === "conflict",
    );
    // AWS refuses a part with another ETag; SeaweedFS keeps both and takes the one that is meant.
    if (refused) assert.equal(await evil.stat("done"), undefined);
    else assert.equal(hash(await buffer(await evil.open("done"))), hash(data));
    client.destroy();
    await Promise.all([mine.close(), evil.close()]);
  });

  test("senders that stopped do not keep others from uploading, and lose nothing", async () => {
    const store = open({ partBuffersMax: 2 });
    const stopped = Array.from({ length: 4 }, (_, n) => {
      const bytes = new Readable({ read() {} });
      bytes.push(`begun ${n}`);
      return { bytes, done: store.appendTo(`r/_uploads/stopped${n}`, 0, bytes) };
    });
    const data = randomBytes(6 * MiB);
    await store.appendTo(pending, 0, Readable.from([data]));
    await store.completeUpload(pending, "done", data.length);
    assert.ok((await buffer(await store.open("done"))).equals(data));
    for (const { bytes } of stopped) {
      bytes.push(" and ended");
      bytes.push(null);
    }
    assert.deepEqual(await Promise.all(stopped.map(({ done }) => done)), [17, 17, 17, 17]);
    const read = await buffer(await store.openUpload("r/_uploads/stopped3"));
    assert.equal(read.toString(), "begun 3 and ended");
    await store.close();
  });

  test("connections that break cost a retry and no byte", async () => {
    await using proxy = await CuttingProxy.listen(new URL(options.endpoint!));
    const store = open({ endpoint: proxy.url, redirect: false });
    const data = randomBytes(12 * MiB);
    proxy.cutRequests.push(10, 900_000, 4 * MiB);
    await store.appendTo(pending, 0, Readable.from([data]));
    proxy.cutAnswers.push(5);
    await store.completeUpload(pending, "done", data.length);
    proxy.cutAnswers.push(100_000, 3 * MiB, 20);
    assert.ok((await buffer(await store.open("done"))).equals(data));
    proxy.cutAnswers.push(1_000_000);
    const part = await buffer(await store.open("done", { start: MiB, end: 5 * MiB }));
    assert.ok(part.equals(data.subarray(MiB, 5 * MiB + 1)));
    assert.equal(proxy.cuts, 8);
    await store.close();
  });

  test("many small chunks become few objects and the right bytes", async () => {
    const store = open();
    const data = randomBytes(90_000);
    for (let at = 0; at < data.length; at += 1000) {
      await store.appendTo(pending, at, Readable.from([data.subarray(at, at + 1000)]));
    }
    assert.equal(await store.uploadSize(pending), data.length);
    await store.completeUpload(pending, "done", data.length);
    assert.ok((await buffer(await store.open("done"))).equals(data));
    await store.close();
  });

  test("an upload goes on after it was read, whatever its size", async () => {
    const data = randomBytes(13 * MiB);
    for (const first of [7, 5 * MiB, 12 * MiB]) {
      const store = open();
      await store.appendTo(pending, 0, Readable.from([data.subarray(0, first)]));
      const read = await buffer(await store.openUpload(pending));
      assert.ok(read.equals(data.subarray(0, first)));
      await store.appendTo(pending, first, Readable.from([data.subarray(first)]));
      await store.completeUpload(pending, "done", data.length);
      assert.ok((await buffer(await store.open("done"))).equals(data));
      await store.close();
    }
  });

  test("an aborted upload leaves nothing in the bucket, parts included", async () => {
    const store = open();
    await store.appendTo(pending, 0, Readable.from([randomBytes(6 * MiB)]));
    await store.abortUpload(pending);
    for await (const found of store.uploads()) assert.fail(found.upload);
    await assert.rejects(store.appendTo(pending, 6 * MiB, Readable.from(["x"])), {
      kind: "not-found",
    });
    await store.close();
  });

  test("more objects than one listing or one removal takes", async () => {
    const store = open();
    const names = Array.from({ length: 1_050 }, (_, n) => `many/${String(n).padStart(5, "0")}`);
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(names.slice(at, at + 50).map((name) => store.write(name, Buffer.alloc(0))));
    }
    assert.equal((await store.list("many")).length, names.length);
    assert.deepEqual(await store.list("many", { after: "01047" }), ["01048", "01049"]);
    let walked = 0;
    for await (const _ of store.walk("many")) walked++;
    assert.equal(walked, names.length);
    await store.removeAll("many");
    assert.deepEqual(await store.list("many"), []);
    await store.close();
  });

  test("a large object is moved in ranges", async () => {
    const store = open();
    const data = randomBytes(14 * MiB);
    await store.appendTo(pending, 0, Readable.from([data]));
    await store.completeUpload(pending, "one", data.length);
    await store.move("one", "two");
    assert.equal(hash(await buffer(await store.open("two"))), hash(data));
    await store.close();
  });

  test("a folder comes in the order of its names, also where one begins another", async () => {
    const store = open();
    for (const name of ["a/x", "a-b/x", "a.c", "a0", "b/x"]) {
      await store.write(`f/${name}`, Buffer.alloc(0));
    }
    const all = ["a-b/", "a.c", "a/", "a0", "b/"];
    assert.deepEqual(await store.list("f"), all);
    for (const [at, name] of all.entries()) {
      assert.deepEqual(await store.list("f", { after: name, limit: 1 }), all.slice(at + 1, at + 2));
    }
    await store.close();
  });

  test("a server's own certificate is trusted when it is named, else not", async () => {
    const { hostname, port } = new URL(options.endpoint!);
    const certificate = makeCertificate({ commonName: "s3", addresses: ["127.0.0.1"] });
    const front = createServer({ cert: certificate.pem, key: certificate.keyPem }, (socket) => {
      const inner = connect(Number(port), hostname);
      pipeline(socket, inner, socket, () => {});
    });
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    const endpoint = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
    const store = open({ endpoint, ca: certificate.pem });
    await store.write("a", Buffer.from("over TLS"));
    assert.equal((await store.read("a")).toString(), "over TLS");
    assert.match((await store.url("a", { method: "GET" }))!, /^https:/);
    const stranger = open({ endpoint, attemptsMax: 1 });
    await assert.rejects(stranger.check(), { kind: "unavailable", message: /certificate/ });
    await Promise.all([store.close(), stranger.close()]);
    await new Promise((resolve) => front.close(resolve));
  });

  test("wrong credentials, a missing bucket and a dead server are told apart", async () => {
    const secretAccessKey = "wrong";
    await assert.rejects(open({ secretAccessKey }).check(), /SignatureDoesNotMatch/);
    await assert.rejects(open({ bucket: "other" }).check(), /NoSuchBucket/);
    const dead = open({ endpoint: "http://127.0.0.1:1", attemptsMax: 1 });
    await assert.rejects(dead.check(), { kind: "unavailable", message: /ECONNREFUSED/ });
  });
}

function registryTests(options: S3StoreOptions): void {
  test("an upload goes on in another process, also when the first was killed", async () => {
    const s3 = { ...options, rootPrefix: `two/${randomUUID()}` };
    await using a = await startRegistry(s3);
    await using b = await startRegistry(s3);
    const data = randomBytes(13 * MiB);
    const begun = await fetch(`${a.url}/v2/app/blobs/uploads/`, { method: "POST" });
    const location = new URL(begun.headers.get("location")!, a.url);
    const at = (url: string): URL => new URL(location.pathname + location.search, url);
    const cuts = [0, 3 * MiB, 9 * MiB, 10 * MiB];
    for (let n = 1; n < cuts.length; n++) {
      const [from, to] = [cuts[n - 1]!, cuts[n]!];
      const answer = await fetch(at(n % 2 ? a.url : b.url), {
        method: "PATCH",
        body: data.subarray(from, to),
        headers: { "Content-Range": `${from}-${to - 1}` },
      });
      assert.equal(answer.status, 202);
      assert.equal(answer.headers.get("range"), `0-${to - 1}`);
    }
    await a.kill();
    const status = await fetch(at(b.url));
    assert.equal(status.headers.get("range"), `0-${10 * MiB - 1}`);
    const wrong = new URL(at(b.url));
    wrong.searchParams.set("digest", `sha256:${hash(data)}`);
    const done = await fetch(wrong, {
      method: "PUT",
      body: data.subarray(10 * MiB),
      headers: { "Content-Range": `${10 * MiB}-${data.length - 1}` },
    });
    assert.equal(done.status, 201);
    const pulled = await fetch(`${b.url}/v2/app/blobs/sha256:${hash(data)}`);
    assert.ok(new URL(pulled.url).searchParams.has("X-Amz-Signature"), "the store itself answered");
    assert.equal(hash(Buffer.from(await pulled.arrayBuffer())), hash(data));
  });

  test("our client pulls from the bucket what was pushed to another process", async () => {
    const s3 = { ...options, rootPrefix: `two/${randomUUID()}` };
    await using a = await startRegistry(s3);
    await using b = await startRegistry(s3);
    const layer = randomBytes(7 * MiB);
    const config = Buffer.from("{}");
    for (const blob of [layer, config]) {
      const begun = await fetch(`${a.url}/v2/team/app/blobs/uploads/`, { method: "POST" });
      const target = new URL(begun.headers.get("location")!, a.url);
      target.searchParams.set("digest", `sha256:${hash(blob)}`);
      assert.equal((await fetch(target, { method: "PUT", body: blob })).status, 201);
    }
    const descriptor = (mediaType: string, blob: Buffer) => ({
      mediaType,
      digest: `sha256:${hash(blob)}`,
      size: blob.length,
    });
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    const put = await fetch(`${a.url}/v2/team/app/manifests/1`, {
      method: "PUT",
      body: manifest,
      headers: { "Content-Type": "application/vnd.oci.image.manifest.v1+json" },
    });
    assert.equal(put.status, 201);
    const registries = new Registries({
      insecureRegistries: [],
      mirrors: [],
      maxConcurrentDownloads: 1,
      maxConcurrentUploads: 1,
      maxDownloadAttempts: 1,
      certificateFolders: [],
      userAgent: "test",
    });
    const client = await registries.open(new URL(b.url).host);
    const found = await client.manifest("team/app", "1");
    assert.equal(found.raw.toString(), manifest);
    const { layers } = JSON.parse(manifest);
    const { response, offset } = await client.blob("team/app", layers[0], { from: 5 * MiB });
    assert.equal(offset, 5 * MiB);
    assert.ok((await buffer(response)).equals(layer.subarray(5 * MiB)));
    assert.ok((await client.smallBlob("team/app", layers[0])).equals(layer));
    assert.match(String(response.headers["server"]), /SeaweedFS|MinIO/);
  });
}

function contentTests(options: S3StoreOptions): void {
  const open = (): S3Store => new S3Store({ ...options, rootPrefix: `content/${randomUUID()}` });

  test("the collector removes from a bucket what nothing refers to, and nothing else", async () => {
    const store = open();
    const content = createContent(store);
    const [kept, gone] = [randomLayer(), randomLayer()];
    const digests: string[] = [];
    for (const [tag, layer] of [kept, gone].entries()) {
      const { config, manifest } = imageOf([layer]);
      for (const blob of [config, layer]) await upload(content, "app", blob);
      const tags = [`v${tag}`];
      await content.putManifest("app", { raw: manifest.data, mediaType: OCI_MANIFEST, tags });
      digests.push(manifest.digest);
    }
    await store.appendTo("docker/registry/v2/repositories/app/_uploads/x", 0, Readable.from(["x"]));
    await content.deleteManifest("app", digests[1]!);
    // Objects of a bucket cannot be made to look old: what is older than in a minute counts as old.
    const grace = { graceMs: -60_000, uploadAgeMsMax: -60_000 };
    assert.ok((await collectGarbage(store, grace)).quarantined.objects > 0);
    assert.ok((await collectGarbage(store, grace)).removed.objects > 0);
    assert.equal(await pullWhole(content, "app", "v0"), digests[0]);
    const left: string[] = [];
    for await (const { path } of store.walk("")) left.push(path);
    assert.ok(!left.some((path) => path.includes(gone.digest.slice(7))));
    for await (const { upload: unfinished } of store.uploads()) assert.fail(unfinished);
    await store.close();
  });

  test("a pull-through cache keeps in the bucket what clients then get from it", async () => {
    await using upstream = await FakeRegistry.listen();
    const data = randomBytes(7 * MiB);
    const { digest } = upstream.putBlob("app", data);
    const store = open();
    const upstreams = [{ prefix: "cache", registry: upstream.host }];
    const parts = { content: createContent(store), store, options: { upstreams } };
    const [one, other] = [new PullThroughCache(parts), new PullThroughCache(parts)];
    assert.equal(await one.blobUrl("cache/app", digest, "GET"), undefined);
    assert.ok((await buffer(await one.openBlob("cache/app", digest))).equals(data));
    await one.idle();
    const url = (await other.blobUrl("cache/app", digest, "GET"))!;
    const answer = await fetch(url);
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(data));
    assert.equal(upstream.asked(/^GET .*blobs/).length, 1);
    await Promise.all([one.close(), other.close()]);
    await store.close();
  });
}

/** A registry in a process of its own. */
async function startRegistry(s3: S3StoreOptions) {
  const door = new URL("../../src/registry/index.ts", import.meta.url).pathname;
  const config = JSON.stringify({ addr: ["127.0.0.1:0"], s3 });
  const script = `
    const { openRegistry } = await import(${JSON.stringify(door)});
    const registry = await openRegistry(${config});
    console.log(registry.addresses[0]);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const line = await Promise.race([
    once(child.stdout, "data"),
    ended.then(() => {
      throw new Error("the registry ended");
    }),
  ]);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  return { url: String(line[0]).trim(), kill, [Symbol.asyncDispose]: kill };
}

/** A way to overwrite the first part of the only upload to a key. */
async function partOf(options: S3StoreOptions, key: string) {
  const { ListMultipartUploadsCommand, S3Client, UploadPartCommand } = await import(
    "@aws-sdk/client-s3"
  );
  const { bucket, endpoint = "", accessKeyId = "", secretAccessKey = "" } = options;
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const { Uploads = [] } = await client.send(
    new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }),
  );
  const { Key, UploadId } = Uploads[0]!;
  const part = (Body: Buffer) =>
    new UploadPartCommand({ Bucket: bucket, Key, UploadId, PartNumber: 1, Body });
  return { client, part };
}

function hash(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
