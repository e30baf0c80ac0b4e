// The four workflows of the OCI distribution spec 1.1 (pull, push, content discovery, content
// management), written from the text of the spec and knowing nothing of our server. OCI_ROOT_URL
// points it at any other registry. (Debian's docker-registry 2.8.2 has no referrers, does not
// delete tags, takes chunks out of order and lists tags unsorted; it passes the rest.) `npm run
// test:conformance` runs the spec authors' own suite.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { RegistryProcess, sha256 } from "../support/registry-process.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const EMPTY = "application/vnd.oci.empty.v1+json";
const NAME = `conformance/${randomBytes(4).toString("hex")}`;
const NOBODY = `sha256:${"0".repeat(64)}`;

let ours: RegistryProcess | undefined;
let base = process.env["OCI_ROOT_URL"] ?? "";
before(async () => {
  if (base !== "") return;
  ours = await RegistryProcess.start();
  base = ours.url;
});
after(async () => await ours?.stop());

type Answer = { status: number; headers: Headers; body: Buffer };

async function ask(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(new URL(path, base), { method, redirect: "follow", ...init });
  const body = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, headers: answer.headers, body };
}

function expect(answer: Answer, ...statuses: number[]): Answer {
  assert.ok(statuses.includes(answer.status), `${answer.status}: ${answer.body}`);
  return answer;
}

/** A 4xx answer with a body has the spec's JSON. */
function expectError(answer: Answer, status: number, ...codes: string[]): void {
  expect(answer, status);
  const { errors } = JSON.parse(answer.body.toString()) as { errors: { code: string }[] };
  assert.ok(codes.includes(errors[0]!.code), `${errors[0]!.code} is none of ${codes}`);
}

const location = (answer: Answer): URL => new URL(answer.headers.get("location")!, base);
const withDigest = (url: URL, digest: string): string => {
  url.searchParams.set("digest", digest);
  return url.href;
};
const octets = { "Content-Type": "application/octet-stream" };

async function pushBlob(name: string, body: Uint8Array): Promise<string> {
  const started = expect(await ask("POST", `/v2/${name}/blobs/uploads/`), 202);
  const digest = sha256(body);
  const put = await ask("PUT", withDigest(location(started), digest), { body, headers: octets });
  expect(put, 201);
  return digest;
}

async function pushManifest(name: string, reference: string, manifest: object): Promise<string> {
  const raw = JSON.stringify(manifest);
  const type = (manifest as { mediaType: string }).mediaType;
  const put = await ask("PUT", `/v2/${name}/manifests/${reference || sha256(raw)}`, {
    body: raw,
    headers: { "Content-Type": type },
  });
  expect(put, 201);
  assert.ok(put.headers.get("location"));
  return sha256(raw);
}

async function image(name: string, reference: string, more: object = {}) {
  const config = Buffer.from(`{"seed":"${reference || randomBytes(4).toString("hex")}"}`);
  const layer = Buffer.from(`layer of ${reference}`);
  const descriptor = async (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: await pushBlob(name, bytes),
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: await descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [await descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    ...more,
  };
  const digest = await pushManifest(name, reference, manifest);
  return { manifest, digest, layer, size: JSON.stringify(manifest).length };
}

test("the API is there (end-1)", async () => {
  expect(await ask("GET", "/v2/"), 200);
});

describe("pull", () => {
  test("blobs (end-2), whole, by HEAD, by range, and those that are not there", async () => {
    const bytes = randomBytes(5000);
    const digest = await pushBlob(NAME, bytes);
    const path = `/v2/${NAME}/blobs/${digest}`;
    const head = expect(await ask("HEAD", path), 200);
    assert.equal(head.headers.get("content-length"), "5000");
    const whole = expect(await ask("GET", path), 200);
    assert.deepEqual(whole.body, bytes);
    assert.equal(whole.headers.get("docker-content-digest"), digest);
    const part = expect(await ask("GET", path, { headers: { Range: "bytes=10-19" } }), 206);
    assert.deepEqual(part.body, bytes.subarray(10, 20));
    expect(await ask("HEAD", `/v2/${NAME}/blobs/${NOBODY}`), 404);
    expectError(await ask("GET", `/v2/${NAME}/blobs/${NOBODY}`), 404, "BLOB_UNKNOWN");
  });

  test("manifests (end-3) by tag and digest, and those that are not there", async () => {
    const { digest, manifest } = await image(NAME, "pulled");
    for (const reference of ["pulled", digest]) {
      const path = `/v2/${NAME}/manifests/${reference}`;
      const headers = { Accept: MANIFEST };
      const head = expect(await ask("HEAD", path, { headers }), 200);
      assert.equal(head.headers.get("docker-content-digest"), digest);
      const got = expect(await ask("GET", path, { headers }), 200);
      assert.equal(got.headers.get("content-type"), MANIFEST);
      assert.deepEqual(JSON.parse(got.body.toString()), manifest);
      assert.equal(head.headers.get("content-length"), String(got.body.length));
    }
    expect(await ask("HEAD", `/v2/${NAME}/manifests/nothing`), 404);
    const got = await ask("GET", `/v2/${NAME}/manifests/${NOBODY}`);
    expectError(got, 404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN");
  });
});

describe("push", () => {
  test("a blob with POST then PUT (end-4a, end-6), and with a wrong digest", async () => {
    const digest = await pushBlob(NAME, Buffer.from("monolithic"));
    expect(await ask("HEAD", `/v2/${NAME}/blobs/${digest}`), 200);
    const started = expect(await ask("POST", `/v2/${NAME}/blobs/uploads/`), 202);
    const wrong = { body: "something else", headers: octets };
    const put = await ask("PUT", withDigest(location(started), NOBODY), wrong);
    expectError(put, 400, "DIGEST_INVALID");
  });

  test("a blob with one POST (end-4b), which may also only begin an upload", async () => {
    const body = "in one request";
    const path = `/v2/${NAME}/blobs/uploads/?digest=${sha256(body)}`;
    const posted = expect(await ask("POST", path, { body, headers: octets }), 201, 202);
    assert.ok(posted.headers.get("location"));
    if (posted.status === 201) {
      expect(await ask("HEAD", `/v2/${NAME}/blobs/${sha256(body)}`), 200);
    }
  });

  test("a blob in chunks (end-5), asking how far it is, and never out of order", async () => {
    const bytes = randomBytes(3000);
    const started = expect(await ask("POST", `/v2/${NAME}/blobs/uploads/`), 202);
    const patch = (to: URL, from: number, end: number) =>
      ask("PATCH", to.href, {
        body: bytes.subarray(from, end),
        headers: { ...octets, "Content-Range": `${from}-${end - 1}` },
      });
    const first = expect(await patch(location(started), 0, 1000), 202);
    assert.equal(first.headers.get("range"), "0-999");
    expect(await patch(location(first), 1500, 2000), 416);
    const state = expect(await ask("GET", location(first).href), 204);
    assert.equal(state.headers.get("range"), "0-999");
    const second = expect(await patch(location(state), 1000, 2000), 202);
    assert.equal(second.headers.get("range"), "0-1999");
    const put = await ask("PUT", withDigest(location(second), sha256(bytes)), {
      body: bytes.subarray(2000),
      headers: { ...octets, "Content-Range": "2000-2999" },
    });
    expect(put, 201);
    const got = expect(await ask("GET", `/v2/${NAME}/blobs/${sha256(bytes)}`), 200);
    assert.deepEqual(got.body, bytes);
  });

  test("a blob in one stream of unknown length", async () => {
    const bytes = randomBytes(4000);
    const started = expect(await ask("POST", `/v2/${NAME}/blobs/uploads/`), 202);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.subarray(0, 2500));
        controller.enqueue(bytes.subarray(2500));
        controller.close();
      },
    });
    const streamed = { body, duplex: "half", headers: octets } as RequestInit;
    const patched = expect(await ask("PATCH", location(started).href, streamed), 202);
    expect(await ask("PUT", withDigest(location(patched), sha256(bytes))), 201);
    expect(await ask("HEAD", `/v2/${NAME}/blobs/${sha256(bytes)}`), 200);
  });

  test("an upload can be given up (end-14 of docker, 1.2 of the spec)", async () => {
    const started = expect(await ask("POST", `/v2/${NAME}/blobs/uploads/`), 202);
    expect(await ask("DELETE", location(started).href), 204);
    expectError(await ask("GET", location(started).href), 404, "BLOB_UPLOAD_UNKNOWN");
  });

  test("a mount from another repository (end-11), or an upload where there is nothing", async () => {
    const digest = await pushBlob(NAME, Buffer.from("to be mounted"));
    const uploads = `/v2/${NAME}-other/blobs/uploads/`;
    const mounted = await ask("POST", `${uploads}?mount=${digest}&from=${NAME}`);
    expect(mounted, 201);
    expect(await ask("HEAD", location(mounted).href), 200);
    expect(await ask("HEAD", `/v2/${NAME}-other/blobs/${digest}`), 200);
    const missing = await ask("POST", `${uploads}?mount=${NOBODY}&from=${NAME}`);
    expect(missing, 202);
    assert.ok(missing.headers.get("location"));
    expect(await ask("POST", `${uploads}?mount=${digest}`), 201, 202);
  });

  test("manifests (end-7): an index of images, and none with missing parts or a wrong digest", async () => {
    const { digest, size } = await image(NAME, "part");
    const entry = { mediaType: MANIFEST, digest, size };
    const index = { schemaVersion: 2, mediaType: INDEX, manifests: [entry] };
    const indexDigest = await pushManifest(NAME, "index", index);
    const got = await ask("GET", `/v2/${NAME}/manifests/index`, { headers: { Accept: INDEX } });
    assert.equal(sha256(expect(got, 200).body), indexDigest);
    const config = { mediaType: EMPTY, digest: NOBODY, size: 2 };
    const broken = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [] };
    const put = (reference: string, body: string) =>
      ask("PUT", `/v2/${NAME}/manifests/${reference}`, {
        body,
        headers: { "Content-Type": MANIFEST },
      });
    const blobUnknown = await put("broken", JSON.stringify(broken));
    expect(blobUnknown, 400, 404);
    expect(await put(NOBODY, JSON.stringify(index)), 400);
    expect(await put("broken", "{"), 400);
    expect(await ask("GET", `/v2/${NAME}/manifests/broken`), 404);
  });

  test("a name or a reference of another form is an error of the client", async () => {
    for (const path of ["/v2/UPPER/tags/list", "/v2/a/manifests/.x", "/v2/a/blobs/md5:1"]) {
      const { status } = await ask("GET", path);
      assert.ok(status === 400 || status === 404, `${path}: ${status}`);
    }
  });
});

describe("content discovery", () => {
  const name = `${NAME}/tags`;
  before(async () => {
    for (const tag of ["c", "a", "e", "b", "d"]) await image(name, tag);
  });

  test("tags (end-8), in order, in pages", async () => {
    const tags = async (query: string) => {
      const got = expect(await ask("GET", `/v2/${name}/tags/list${query}`), 200);
      const body = JSON.parse(got.body.toString()) as { name: string; tags: string[] };
      assert.equal(body.name, name);
      return { tags: body.tags, link: got.headers.get("link") };
    };
    assert.deepEqual((await tags("")).tags, ["a", "b", "c", "d", "e"]);
    const first = await tags("?n=2");
    assert.deepEqual(first.tags, ["a", "b"]);
    const next = /^<([^>]+)>; ?rel="?next"?$/.exec(first.link!)![1]!;
    const second = expect(await ask("GET", next), 200);
    assert.deepEqual((JSON.parse(second.body.toString()) as { tags: string[] }).tags, ["c", "d"]);
    assert.deepEqual((await tags("?n=9&last=d")).tags, ["e"]);
    const none = await ask("GET", `/v2/${NAME}/nowhere/tags/list`);
    expectError(none, 404, "NAME_UNKNOWN");
  });

  const noReferrers = process.env["OCI_NO_REFERRERS"] !== undefined;
  test("referrers (end-12), by type, also of what is not there", {
    skip: noReferrers,
  }, async () => {
    const referrers = async (digest: string, query = "") => {
      const got = expect(await ask("GET", `/v2/${name}/referrers/${digest}${query}`), 200);
      assert.equal(got.headers.get("content-type"), INDEX);
      const index = JSON.parse(got.body.toString()) as {
        mediaType: string;
        manifests: { digest: string; artifactType: string; annotations?: object }[];
      };
      assert.equal(index.mediaType, INDEX);
      return { all: index.manifests, filters: got.headers.get("oci-filters-applied") };
    };
    assert.deepEqual((await referrers(NOBODY)).all, []);
    const subject = { mediaType: MANIFEST, digest: NOBODY, size: 5 };
    const empty = Buffer.from("{}");
    const config = { mediaType: EMPTY, digest: await pushBlob(name, empty), size: 2 };
    const pushed: string[] = [];
    for (const artifactType of ["application/vnd.a", "application/vnd.b"]) {
      const raw = JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        artifactType,
        config,
        layers: [config],
        subject,
        annotations: { about: artifactType },
      });
      const put = await ask("PUT", `/v2/${name}/manifests/${sha256(raw)}`, {
        body: raw,
        headers: { "Content-Type": MANIFEST },
      });
      assert.equal(expect(put, 201).headers.get("oci-subject"), NOBODY);
      pushed.push(sha256(raw));
    }
    const { all } = await referrers(NOBODY);
    assert.deepEqual(all.map(({ digest }) => digest).sort(), [...pushed].sort());
    const some = await referrers(NOBODY, "?artifactType=application/vnd.b");
    assert.equal(some.filters, "artifactType");
    assert.deepEqual(
      some.all.map(({ digest, annotations }) => ({ digest, annotations })),
      [{ digest: pushed[1], annotations: { about: "application/vnd.b" } }],
    );
    expect(await ask("DELETE", `/v2/${name}/manifests/${pushed[0]}`), 202);
    assert.equal((await referrers(NOBODY)).all.length, 1);
  });
});

describe("content management", () => {
  const noTagDelete = process.env["OCI_NO_TAG_DELETE"] !== undefined;
  test("a tag (end-9) goes and its manifest stays", { skip: noTagDelete }, async () => {
    const { digest } = await image(NAME, "gone");
    expect(await ask("DELETE", `/v2/${NAME}/manifests/gone`), 202);
    expect(await ask("GET", `/v2/${NAME}/manifests/gone`), 404);
    expect(await ask("GET", `/v2/${NAME}/manifests/${digest}`), 200);
  });

  test("a manifest (end-9) goes with its tags, and a blob (end-10)", async () => {
    const { digest, layer } = await image(NAME, "whole");
    expect(await ask("DELETE", `/v2/${NAME}/manifests/${digest}`), 202);
    expect(await ask("GET", `/v2/${NAME}/manifests/${digest}`), 404);
    expect(await ask("GET", `/v2/${NAME}/manifests/whole`), 404);
    expect(await ask("DELETE", `/v2/${NAME}/manifests/${digest}`), 404);
    const blob = `/v2/${NAME}/blobs/${sha256(layer)}`;
    expect(await ask("DELETE", blob), 202);
    expect(await ask("GET", blob), 404);
    expect(await ask("DELETE", `/v2/${NAME}/blobs/${NOBODY}`), 404);
  });
});
