// The distribution spec 1.1, seen from a client: pull, push, discovery and management, and what the
// server says when a client is wrong.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  bytesOf,
  descriptor,
  imageOf,
  OCI_INDEX,
  OCI_MANIFEST,
  randomLayer,
} from "../support/registry-content.ts";
import { RegistryPlace, someBlob } from "../support/registry-http.ts";

const octets = { "Content-Type": "application/octet-stream" };
const nowhere = `sha256:${"0".repeat(64)}`;

let registry: RegistryPlace;
before(async () => {
  registry = await RegistryPlace.open();
});
after(() => registry[Symbol.asyncDispose]());

describe("pushing a blob", () => {
  test("at once, with POST then PUT", async () => {
    const { status, headers } = await registry.pushBlob("p/one", someBlob);
    assert.equal(status, 201);
    assert.equal(headers.get("location"), `/v2/p/one/blobs/${someBlob.digest}`);
    assert.equal(headers.get("docker-content-digest"), someBlob.digest);
  });

  test("in a single POST", async () => {
    const path = `/v2/p/single/blobs/uploads/?digest=${someBlob.digest}`;
    const made = await registry.ask("POST", path, { body: someBlob.data, headers: octets });
    assert.equal(made.status, 201);
    const found = await registry.ask("GET", `/v2/p/single/blobs/${someBlob.digest}`);
    assert.deepEqual(found.body, someBlob.data);
  });

  test("in chunks, refusing those out of order and telling where to go on", async () => {
    const data = randomBytes(300_000);
    const blob = bytesOf(data);
    const start = await registry.ask("POST", "/v2/p/chunks/blobs/uploads/");
    assert.equal(start.status, 202);
    assert.equal(start.headers.get("range"), "0-0");
    assert.ok(start.headers.get("docker-upload-uuid"));
    const location = start.headers.get("location")!;
    const chunk = (from: number, to: number, range = `${from}-${to - 1}`) =>
      registry.ask("PATCH", location, {
        body: data.subarray(from, to),
        headers: { ...octets, "Content-Range": range },
      });
    assert.equal((await chunk(0, 100_000)).headers.get("range"), "0-99999");
    const again = await chunk(0, 100_000);
    assert.equal(again.status, 416);
    assert.equal(again.headers.get("range"), "0-99999");
    assert.equal((await chunk(200_000, 300_000)).status, 416);
    assert.equal((await chunk(100_000, 200_000, "100000-150000")).status, 400);
    assert.equal((await chunk(100_000, 200_000, "seven-nine")).status, 400);
    assert.equal((await chunk(100_000, 200_000)).status, 202);
    const where = await registry.ask("GET", location);
    assert.deepEqual([where.status, where.headers.get("range")], [204, "0-199999"]);
    const done = await registry.ask("PUT", `${location}?digest=${blob.digest}`, {
      body: data.subarray(200_000),
      headers: { ...octets, "Content-Range": "200000-299999" },
    });
    assert.equal(done.status, 201);
    const found = await registry.ask("GET", `/v2/p/chunks/blobs/${blob.digest}`);
    assert.ok(found.body.equals(data));
    assert.equal((await registry.ask("GET", location)).codes[0], "BLOB_UPLOAD_UNKNOWN");
  });

  test("streamed without a length or a range", async () => {
    const data = randomBytes(400_000);
    const location = await registry.startUpload("p/stream");
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < data.length; at += 50_000) {
          controller.enqueue(data.subarray(at, at + 50_000));
        }
        controller.close();
      },
    });
    const init = { method: "PATCH", body, duplex: "half", headers: octets };
    const sent = await fetch(registry.base + location, init as RequestInit);
    assert.equal(sent.status, 202);
    const { digest } = bytesOf(data);
    const done = await registry.ask("PUT", `${location}?digest=${digest}`);
    assert.equal(done.status, 201);
  });

  test("with a sha512 digest, also when the algorithm was not told before", async () => {
    const blob = bytesOf("strong", "sha512");
    for (const query of ["?digest-algorithm=sha512", ""]) {
      const name = `p/sha512${query === "" ? "-late" : ""}`;
      const start = await registry.ask("POST", `/v2/${name}/blobs/uploads/${query}`);
      const location = start.headers.get("location")!;
      await registry.ask("PATCH", location, { body: blob.data, headers: octets });
      const done = await registry.ask("PUT", `${location}?digest=${blob.digest}`);
      assert.equal(done.status, 201);
      assert.equal((await registry.ask("HEAD", `/v2/${name}/blobs/${blob.digest}`)).status, 200);
    }
    const bad = await registry.ask("POST", "/v2/p/x/blobs/uploads/?digest-algorithm=md5");
    assert.deepEqual([bad.status, bad.codes[0]], [400, "DIGEST_INVALID"]);
  });

  test("with a wrong digest leaves nothing", async () => {
    const location = await registry.startUpload("p/wrong");
    const path = `${location}?digest=${nowhere}`;
    const bad = await registry.ask("PUT", path, { body: "bytes", headers: octets });
    assert.deepEqual([bad.status, bad.codes[0]], [400, "DIGEST_INVALID"]);
    assert.equal((await registry.ask("HEAD", `/v2/p/wrong/blobs/${nowhere}`)).status, 404);
    assert.equal((await registry.ask("GET", location)).status, 404);
    assert.equal((await registry.ask("PUT", `${location}?digest=md5:00`)).status, 400);
  });

  test("can be cancelled, once", async () => {
    const location = await registry.startUpload("p/cancel");
    assert.equal((await registry.ask("DELETE", location)).status, 204);
    const again = await registry.ask("DELETE", location);
    assert.deepEqual([again.status, again.codes[0]], [404, "BLOB_UPLOAD_UNKNOWN"]);
  });

  test("goes on at another process over the same store", async () => {
    const other = await RegistryPlace.open({}, registry.root);
    try {
      const location = await registry.startUpload("p/two");
      const half = { body: "one half, ", headers: octets };
      assert.equal((await other.ask("PATCH", location, half)).status, 202);
      const rest = { body: "and the other", headers: octets };
      assert.equal((await registry.ask("PATCH", location, rest)).status, 202);
      const { digest } = bytesOf("one half, and the other");
      assert.equal((await other.ask("PUT", `${location}?digest=${digest}`)).status, 201);
      assert.equal((await registry.ask("HEAD", `/v2/p/two/blobs/${digest}`)).status, 200);
    } finally {
      await other.server.close({ deadlineMs: 100 });
    }
  });

  test("is not needed when another repository has it", async () => {
    await registry.pushBlob("m/source", someBlob);
    const mount = (query: string) =>
      registry.ask("POST", `/v2/m/target${query.length}/blobs/uploads/?mount=${query}`);
    const named = await mount(`${someBlob.digest}&from=m/source`);
    assert.equal(named.status, 201);
    assert.match(named.headers.get("location")!, new RegExp(`/blobs/${someBlob.digest}$`));
    assert.equal((await mount(someBlob.digest)).status, 201, "from anywhere");
    assert.equal((await mount(`${nowhere}&from=m/source`)).status, 202);
    assert.equal((await mount(`${someBlob.digest}&from=m/absent`)).status, 202);
    assert.equal((await mount(`${someBlob.digest}&from=../etc`)).codes[0], "NAME_INVALID");
  });
});

describe("pulling a blob", () => {
  const path = `/v2/p/pull/blobs/${someBlob.digest}`;
  const length = someBlob.data.length;
  before(() => registry.pushBlob("p/pull", someBlob));

  test("HEAD says what GET would give", async () => {
    const head = await registry.ask("HEAD", path);
    assert.equal(head.status, 200);
    assert.equal(Number(head.headers.get("content-length")), length);
    assert.equal(head.headers.get("docker-content-digest"), someBlob.digest);
    assert.equal(head.headers.get("accept-ranges"), "bytes");
    assert.equal((await registry.ask("GET", path.replace(":", "%3A"))).status, 200);
  });

  const ranges: [string, number, string][] = [
    ["bytes=0-4", 206, "hello"],
    ["bytes=7-", 206, "registry"],
    ["bytes=-3", 206, "try"],
    ["bytes=-999", 206, "hello, registry"],
    ["bytes=7-999", 206, "registry"],
    ["bytes=14-14", 206, "y"],
    ["bytes=15-", 416, ""],
    ["bytes=-0", 416, ""],
    ["bytes=5-2", 200, "hello, registry"],
    ["bytes=0-1,3-4", 200, "hello, registry"],
    ["lines=1-2", 200, "hello, registry"],
  ];
  for (const [range, status, text] of ranges) {
    test(`with Range ${range} is a ${status}`, async () => {
      const part = await registry.ask("GET", path, { headers: { Range: range } });
      assert.equal(part.status, status);
      if (status === 416) {
        assert.equal(part.headers.get("content-range"), `bytes */${length}`);
      } else assert.equal(part.body.toString(), text);
      if (status !== 206) return;
      const at = someBlob.data.toString().lastIndexOf(text);
      const expected = `bytes ${at}-${at + text.length - 1}/${length}`;
      assert.equal(part.headers.get("content-range"), expected);
    });
  }

  test("a range holds only for the same content", async () => {
    const ask = (etag: string) =>
      registry.ask("GET", path, { headers: { Range: "bytes=0-4", "If-Range": etag } });
    assert.equal((await ask(`"${someBlob.digest}"`)).status, 206);
    assert.equal((await ask('"other"')).status, 200);
  });

  test("who has it already gets no bytes", async () => {
    const headers = { "If-None-Match": `"${someBlob.digest}"` };
    assert.equal((await registry.ask("GET", path, { headers })).status, 304);
  });

  test("what is not there is BLOB_UNKNOWN, also when another repository has it", async () => {
    for (const path of [`/v2/p/pull/blobs/${nowhere}`, `/v2/p/other/blobs/${someBlob.digest}`]) {
      const missing = await registry.ask("GET", path);
      assert.deepEqual([missing.status, missing.codes[0]], [404, "BLOB_UNKNOWN"]);
    }
    assert.equal(
      (await registry.ask("GET", "/v2/p/pull/blobs/sha256:xyz")).codes[0],
      "DIGEST_INVALID",
    );
  });
});

describe("manifests", () => {
  test("come back byte for byte by tag and by digest", async () => {
    const manifest = await registry.pushImage("i/a", "v1", [randomLayer()]);
    for (const reference of ["v1", manifest.digest]) {
      for (const method of ["GET", "HEAD"]) {
        const found = await registry.ask(method, `/v2/i/a/manifests/${reference}`);
        assert.equal(found.status, 200);
        assert.equal(found.headers.get("content-type"), OCI_MANIFEST);
        assert.equal(found.headers.get("docker-content-digest"), manifest.digest);
        assert.equal(Number(found.headers.get("content-length")), manifest.data.length);
        if (method === "GET") assert.deepEqual(found.body, manifest.data);
      }
    }
  });

  test("get several tags with one request", async () => {
    const manifest = await registry.pushImage("i/tags", "first", [randomLayer()]);
    const path = `${manifest.digest}?tag=a&tag=b&tag=a`;
    const put = await registry.putManifest("i/tags", path, manifest);
    assert.equal(put.status, 201);
    assert.equal(put.headers.get("oci-tag"), "a, b");
    const { body } = await registry.ask("GET", "/v2/i/tags/tags/list");
    assert.deepEqual(JSON.parse(body.toString()).tags, ["a", "b", "first"]);
    const bad = await registry.putManifest("i/tags", `${manifest.digest}?tag=.bad`, manifest);
    assert.deepEqual([bad.status, bad.codes[0]], [400, "MANIFEST_INVALID"]);
  });

  test("need what they refer to, but not their subject", async () => {
    const { config, manifest } = imageOf([randomLayer()]);
    await registry.pushBlob("i/missing", config);
    const refused = await registry.putManifest("i/missing", "v1", manifest);
    assert.deepEqual([refused.status, refused.codes[0]], [404, "MANIFEST_BLOB_UNKNOWN"]);
    assert.equal((await registry.ask("HEAD", "/v2/i/missing/manifests/v1")).status, 404);
    const index = bytesOf(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [descriptor(manifest, OCI_MANIFEST)],
      }),
    );
    const put = await registry.putManifest("i/missing", "all", index, OCI_INDEX);
    assert.equal(put.codes[0], "MANIFEST_BLOB_UNKNOWN");
  });

  test("may have layers that are kept elsewhere", async () => {
    const layer = randomLayer();
    const foreign = {
      ...descriptor(layer, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
      urls: ["https://layers.example/one"],
    };
    const { config, manifest } = imageOf([], { layers: [foreign] });
    await registry.pushBlob("i/foreign", config);
    assert.equal((await registry.putManifest("i/foreign", "v1", manifest)).status, 201);
  });

  test("under another digest than their own are refused", async () => {
    const { manifest } = imageOf([]);
    const put = await registry.putManifest("i/a", nowhere, manifest);
    assert.deepEqual([put.status, put.codes[0]], [400, "DIGEST_INVALID"]);
  });

  const { config } = imageOf([]);
  const whole = { schemaVersion: 2, config: descriptor(config, "x/y"), layers: [] };
  const bad: [string, string | object, string?][] = [
    ["text", "not json"],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]).toString("latin1")],
    ["null", "null"],
    ["a list", "[]"],
    ["an empty object", {}],
    ["schema 1", { schemaVersion: 1, fsLayers: [] }],
    ["an image that says it is an index", { ...whole, mediaType: OCI_INDEX }],
    ["an index sent as an image", { schemaVersion: 2, manifests: [] }],
    ["another type than it was sent as", { ...whole, mediaType: OCI_INDEX }, OCI_MANIFEST],
    ["an image and an index at once", { ...whole, manifests: [] }],
    ["a key twice in other case", { ...whole, Layers: [] }],
    ["a type that nobody knows", whole, "application/vnd.example+json"],
    ["a layer with a negative size", { ...whole, layers: [{ ...whole.config, size: -1 }] }],
    ["a layer with traversal for a digest", { ...whole, layers: [{ digest: "../x", size: 1 }] }],
    ["ten thousand layers", { ...whole, layers: Array(10_000).fill(whole.config) }],
    ["annotations that are no strings", { ...whole, annotations: { a: 1 } }],
    ["another size than the blob has", { ...whole, config: { ...whole.config, size: 1 } }],
  ];
  for (const [what, document, type = OCI_MANIFEST] of bad) {
    test(`that are ${what} are refused`, async () => {
      await registry.pushBlob("i/bad", config);
      const text = typeof document === "string" ? document : JSON.stringify(document);
      const put = await registry.putManifest("i/bad", "v1", bytesOf(text), type);
      assert.deepEqual([put.status, put.codes[0]], [400, "MANIFEST_INVALID"]);
    });
  }

  test("of four mebibytes are taken, of nine refused with 413", async () => {
    await registry.pushBlob("i/large", config);
    const sized = (size: number) =>
      bytesOf(JSON.stringify({ ...whole, annotations: { filler: "x".repeat(size) } }));
    assert.equal((await registry.putManifest("i/large", "v1", sized(4 << 20))).status, 201);
    assert.equal((await registry.ask("GET", "/v2/i/large/manifests/v1")).status, 200);
    assert.equal((await registry.putManifest("i/large", "v2", sized(9 << 20))).status, 413);
  });

  test("without a media type of their own keep the one they look like", async () => {
    await registry.pushBlob("i/bare", config);
    await registry.putManifest("i/bare", "v1", bytesOf(JSON.stringify(whole)), OCI_MANIFEST);
    const found = await registry.ask("GET", "/v2/i/bare/manifests/v1");
    assert.equal(found.headers.get("content-type"), OCI_MANIFEST);
  });
});

describe("discovery", () => {
  test("tags come in order and in pages", async () => {
    const manifest = await registry.pushImage("d/tags", "b", [randomLayer()]);
    for (const tag of ["a", "d", "c"]) await registry.putManifest("d/tags", tag, manifest);
    const page = async (path: string) => {
      const { body, headers } = await registry.ask("GET", path);
      return { tags: JSON.parse(body.toString()).tags, link: headers.get("link") };
    };
    assert.deepEqual(await page("/v2/d/tags/tags/list"), {
      tags: ["a", "b", "c", "d"],
      link: null,
    });
    const first = await page("/v2/d/tags/tags/list?n=3");
    assert.deepEqual(first.tags, ["a", "b", "c"]);
    const next = /^<([^>]+)>; rel="next"$/.exec(first.link!)![1]!;
    assert.deepEqual(await page(next), { tags: ["d"], link: null });
    assert.deepEqual(await page("/v2/d/tags/tags/list?n=0"), { tags: [], link: null });
    assert.deepEqual((await page("/v2/d/tags/tags/list?last=b")).tags, ["c", "d"]);
    const bad = await registry.ask("GET", "/v2/d/tags/tags/list?n=many");
    assert.deepEqual([bad.status, bad.codes[0]], [400, "PAGINATION_NUMBER_INVALID"]);
    const none = await registry.ask("GET", "/v2/d/none/tags/list");
    assert.deepEqual([none.status, none.codes[0]], [404, "NAME_UNKNOWN"]);
  });

  test("the catalog has every repository once, over all its pages", async () => {
    const at = await RegistryPlace.open();
    try {
      const names = ["a", "a-b", "a/b", "a/b/c", "a.b/x", "z"];
      for (const name of names) await at.pushBlob(name, someBlob);
      const seen: string[] = [];
      let path: string | undefined = "/v2/_catalog?n=2";
      while (path !== undefined) {
        const { body, headers } = await at.ask("GET", path);
        seen.push(...JSON.parse(body.toString()).repositories);
        path = /^<([^>]+)>/.exec(headers.get("link") ?? "")?.[1];
      }
      assert.deepEqual(seen, [...names].sort());
    } finally {
      await at[Symbol.asyncDispose]();
    }
  });

  test("referrers are listed, filtered and paged, and end with their manifest", async () => {
    const subject = await registry.pushImage("d/ref", "v1", [randomLayer()]);
    const about = { subject: descriptor(subject, OCI_MANIFEST) };
    const signature = await registry.pushImage("d/ref", "sig", [], {
      ...about,
      artifactType: "application/x.signature",
      annotations: { by: "somebody" },
    });
    const put = await registry.putManifest("d/ref", "sig", signature);
    assert.equal(put.headers.get("oci-subject"), subject.digest);
    const other = await registry.pushImage("d/ref", "sbom", [], about);
    const list = async (query = "") => {
      const answer = await registry.ask("GET", `/v2/d/ref/referrers/${subject.digest}${query}`);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-type"), OCI_INDEX);
      return { ...JSON.parse(answer.body.toString()), headers: answer.headers };
    };
    const all = await list();
    assert.deepEqual(
      all.manifests.map((entry: { digest: string }) => entry.digest),
      [signature.digest, other.digest].sort(),
    );
    assert.equal(all.headers.get("oci-filters-applied"), null);
    const filtered = await list("?artifactType=application/x.signature");
    assert.equal(filtered.headers.get("oci-filters-applied"), "artifactType");
    assert.equal(filtered.manifests.length, 1);
    assert.equal(filtered.manifests[0].annotations.by, "somebody");
    const config = "application/vnd.oci.image.config.v1+json";
    assert.equal((await list(`?artifactType=${config}`)).manifests[0].digest, other.digest);
    const first = await list("?n=1");
    assert.equal(first.manifests.length, 1);
    const next = /^<([^>]+)>/.exec(first.headers.get("link"))![1]!;
    assert.equal(JSON.parse((await registry.ask("GET", next)).body.toString()).manifests.length, 1);
    await registry.ask("DELETE", `/v2/d/ref/manifests/${signature.digest}`);
    assert.equal((await list()).manifests.length, 1);
    const none = await registry.ask("GET", `/v2/d/nothing/referrers/${nowhere}`);
    assert.deepEqual(JSON.parse(none.body.toString()).manifests, []);
  });

  test("an index under the subject's fallback tag counts as its referrers", async () => {
    const subject = await registry.pushImage("d/old", "v1", [randomLayer()]);
    const signature = await registry.pushImage("d/old", "sig", [randomLayer()]);
    const entry = { ...descriptor(signature, OCI_MANIFEST), artifactType: "application/x.old" };
    const index = bytesOf(
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }),
    );
    await registry.putManifest("d/old", subject.digest.replace(":", "-"), index, OCI_INDEX);
    const path = `/v2/d/old/referrers/${subject.digest}?artifactType=application/x.old`;
    const { manifests } = JSON.parse((await registry.ask("GET", path)).body.toString());
    assert.equal(manifests[0].digest, signature.digest);
  });
});

describe("management", () => {
  test("a tag is deleted alone, a manifest with its tags", async () => {
    const manifest = await registry.pushImage("x/del", "one", [randomLayer()]);
    await registry.putManifest("x/del", "two", manifest);
    const remove = (reference: string) =>
      registry.ask("DELETE", `/v2/x/del/manifests/${reference}`);
    const status = async (reference: string) =>
      (await registry.ask("HEAD", `/v2/x/del/manifests/${reference}`)).status;
    assert.equal((await remove("one")).status, 202);
    assert.deepEqual([await status("one"), await status("two")], [404, 200]);
    assert.equal((await remove(manifest.digest)).status, 202);
    assert.deepEqual([await status(manifest.digest), await status("two")], [404, 404]);
    assert.equal((await remove(manifest.digest)).codes[0], "MANIFEST_UNKNOWN");
  });

  test("a blob is deleted from one repository only", async () => {
    for (const name of ["x/b1", "x/b2"]) await registry.pushBlob(name, someBlob);
    const path = (name: string) => `/v2/${name}/blobs/${someBlob.digest}`;
    assert.equal((await registry.ask("DELETE", path("x/b1"))).status, 202);
    assert.equal((await registry.ask("DELETE", path("x/b1"))).status, 404);
    assert.equal((await registry.ask("HEAD", path("x/b2"))).status, 200);
  });

  test("deleting can be disabled, and everything but reading", async () => {
    const manifest = await registry.pushImage("x/ro", "v1", [randomLayer()]);
    for (const options of [{ deleteEnabled: false }, { readOnly: true }]) {
      const at = await RegistryPlace.open(options, registry.root);
      const gone = await at.ask("DELETE", `/v2/x/ro/manifests/${manifest.digest}`);
      assert.deepEqual([gone.status, gone.codes[0]], [405, "UNSUPPORTED"]);
      const push = await at.ask("POST", "/v2/x/ro/blobs/uploads/");
      assert.equal(push.status, options.readOnly ? 405 : 202);
      assert.equal((await at.ask("GET", "/v2/x/ro/manifests/v1")).status, 200);
      await at.server.close({ deadlineMs: 100 });
    }
  });
});

describe("addresses", () => {
  test("the base answers, and what is not there says so", async () => {
    const base = await registry.ask("GET", "/v2/");
    assert.equal(base.status, 200);
    assert.equal(base.headers.get("docker-distribution-api-version"), "registry/2.0");
    assert.equal((await registry.ask("GET", "/elsewhere")).status, 404);
    assert.equal((await registry.ask("GET", "/v2/a/b/c")).status, 404);
    const wrong = await registry.ask("POST", "/v2/a/manifests/v1");
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "GET, HEAD, PUT, DELETE"]);
  });

  test("a name may hold the words of routes", async () => {
    const name = "blobs/uploads/manifests/tags/list";
    const manifest = await registry.pushImage(name, "latest", [randomLayer()]);
    const found = await registry.ask("GET", `/v2/${name}/manifests/latest`);
    assert.equal(found.headers.get("docker-content-digest"), manifest.digest);
    assert.equal((await registry.ask("GET", `/v2/${name}/tags/list`)).status, 200);
  });

  for (const name of [
    "UPPER",
    "a..b",
    "a%2F..%2Fb",
    "_a",
    "a//b",
    "-a",
    "a".repeat(256),
    "a%00b",
  ]) {
    test(`the name ${name.slice(0, 20)} is refused`, async () => {
      const { status, codes } = await registry.ask("POST", `/v2/${name}/blobs/uploads/`);
      assert.deepEqual([status, codes[0]], [400, "NAME_INVALID"]);
    });
  }
});
