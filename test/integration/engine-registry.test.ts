// Pull and push against a registry in memory that can misbehave: what arrives is what was sent,
// what is broken is never seen, and what the other side has is not moved.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Progress } from "../../src/engine/index.ts";
import { digest, FakeRegistry, type RegistryOptions } from "../fakes/registry.ts";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";
import {
  INDEX,
  MANIFEST,
  publishImage as publish,
  testDistribution,
  testLayer,
} from "../support/registry-images.ts";

const PLAIN = "application/vnd.docker.image.rootfs.diff.tar";
const skip = process.getuid?.() === 0 ? false : "needs root";

async function all(messages: AsyncIterable<Progress>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { status, id } of messages) lines.push(id ? `${id}: ${status}` : `${status}`);
  return lines;
}

describe("images and registries", { skip }, () => {
  let fixture: EngineFixture;
  before(async () => {
    fixture = await EngineFixture.make(testDistribution());
  });
  after(() => fixture[Symbol.asyncDispose]());
  const images = () => fixture.engine.images;
  const pull = (name: string, o = {}): Promise<string[]> => all(images().pull(name, o));
  const listen = (options: RegistryOptions = {}) => FakeRegistry.listen(options);

  test("an image arrives with its id, its names and docker's messages", async () => {
    await using registry = await listen();
    const plain = testLayer((tar) => tar, { type: PLAIN });
    const layers = [testLayer(), plain, testLayer(zstdCompressSync, { type: `${PLAIN}.zstd` })];
    const { id, manifest } = publish(registry, "a/b", "1", { layers });
    const name = `${registry.host}/a/b`;
    const lines = await pull(name, { tag: "1" });
    assert.equal(lines[0], "1: Pulling from a/b");
    for (const { blob } of layers) {
      const short = digest(blob).slice(7, 19);
      const steps = lines
        .filter((line) => line.startsWith(short) && !/Downloading/.test(line))
        .filter((line, at, all) => line !== all[at - 1]);
      assert.deepEqual(
        steps.map((line) => line.slice(14)),
        [
          "Pulling fs layer",
          "Verifying Checksum",
          "Download complete",
          "Extracting",
          "Pull complete",
        ],
      );
    }
    assert.deepEqual(lines.slice(-2), [
      `Digest: ${manifest}`,
      `Status: Downloaded newer image for ${name}:1`,
    ]);
    const found = await images().inspect(`${name}:1`);
    assert.equal(found.id, id);
    assert.deepEqual(found.repoDigests, [`${name}@${manifest}`]);
    assert.equal(found.manifest?.digest, manifest);
    assert.equal((await images().inspect(`${name}@${manifest}`)).id, id);
  });

  test("what is here is not fetched again", async () => {
    await using registry = await listen();
    const { layers } = publish(registry, "a/b", "1");
    publish(registry, "a/b", "2", { layers: [layers[0]!, testLayer()] });
    const name = `${registry.host}/a/b`;
    await pull(`${name}:1`);
    const again = await pull(`${name}:1`);
    assert.equal(again.at(-1), `Status: Image is up to date for ${name}:1`);
    const second = await pull(`${name}:2`);
    assert.ok(second.includes(`${digest(layers[0]!.blob).slice(7, 19)}: Already exists`));
    assert.equal(registry.asked(new RegExp(`GET .*${digest(layers[0]!.blob)}`)).length, 1);
  });

  test("two pulls of one image share each transfer", async () => {
    await using registry = await listen();
    const { layers } = publish(registry, "a/b", "1");
    const name = `${registry.host}/a/b:1`;
    await Promise.all([pull(name), pull(name), pull(name)]);
    assert.equal(registry.asked(new RegExp(`GET .*${digest(layers[0]!.blob)}`)).length, 1);
  });

  test("an index gives the image of the platform, an unknown platform is refused", async () => {
    await using registry = await listen();
    const made = ["amd64", "arm64"].map((architecture) => ({
      architecture,
      ...publish(registry, "a/b", architecture, { architecture }),
    }));
    const manifests = made.map(({ manifest, size, architecture }) => ({
      mediaType: MANIFEST,
      digest: manifest,
      size,
      platform: { os: "linux", architecture },
    }));
    const index = { schemaVersion: 2, mediaType: INDEX, manifests };
    const top = registry.putManifest("a/b", "multi", index, INDEX);
    const name = `${registry.host}/a/b:multi`;
    await pull(name, { platform: "linux/arm64" });
    const found = await images().inspect(name);
    assert.equal(found.id, made[1]!.id);
    assert.deepEqual(found.repoDigests, [`${registry.host}/a/b@${top}`]);
    // A second platform takes the name; the first stays beside it, and goes with it.
    await pull(name, { platform: "linux/amd64" });
    for (const { id, architecture } of made) {
      const platform = `linux/${architecture}`;
      assert.equal((await images().inspect(name, { platform })).id, id);
    }
    assert.ok(!(await images().list({})).some(({ id }) => id === made[1]!.id));
    await images().remove(name);
    for (const { id } of made) await assert.rejects(images().inspect(id), { kind: "not-found" });
    await assert.rejects(pull(name, { platform: "linux/s390x" }), {
      kind: "not-found",
      message: "no matching manifest for linux/s390x in the manifest list entries",
    });
  });

  test("every tag, and by digest", async () => {
    await using registry = await listen();
    const first = publish(registry, "a/b", "1");
    publish(registry, "a/b", "2");
    const name = `${registry.host}/a/b`;
    await pull(name, { tag: first.manifest });
    assert.deepEqual((await images().inspect(`${name}@${first.manifest}`)).repoTags, []);
    await pull(name);
    for (const tag of ["1", "2"]) await images().inspect(`${name}:${tag}`);
  });

  for (const noRanges of [false, true]) {
    const how = noRanges ? "from the start without ranges" : "at the byte where it was cut";
    test(`a broken download goes on ${how}`, async () => {
      await using registry = await listen({ noRanges });
      const { layers, id } = publish(registry, "a/b", "1");
      const blob = digest(layers[0]!.blob);
      const match = new RegExp(`GET .*${blob}`);
      registry.faults.push({ match, cutAt: 100_000 }, { match, status: 503 }, { match, cutAt: 7 });
      const name = `${registry.host}/a/b:1`;
      await pull(name);
      assert.equal((await images().inspect(name)).id, id);
      const ranges = registry.headers.flatMap(({ range }) => (range ? [range] : []));
      assert.ok(ranges.length > 0 && ranges.every((range) => /^bytes=\d+-\d*$/.test(range)));
    });
  }

  const BROKEN: [string, (registry: FakeRegistry, match: RegExp) => void, RegExp][] = [
    [
      "other bytes than the digest says",
      ({ faults }, match) => faults.push({ match, corrupt: true, times: 9 }),
      /verification failed|incorrect header|digest/i,
    ],
    [
      "fewer bytes than promised, again and again",
      ({ faults }, match) => faults.push({ match, truncateTo: 1000, times: 99 }),
      /unexpected EOF|unknown/,
    ],
    [
      "no blob at all",
      ({ blobs }, match) => {
        for (const name of blobs.keys()) if (match.test(`GET ${name}`)) blobs.delete(name);
      },
      /blob unknown/,
    ],
  ];
  for (const [what, break_, expected] of BROKEN) {
    test(`nothing is left of a pull that gets ${what}`, async () => {
      await using registry = await listen();
      const { layers } = publish(registry, "a/b", "1", { layers: [testLayer(), testLayer()] });
      break_(registry, new RegExp(`GET .*${digest(layers[1]!.blob)}`));
      const name = `${registry.host}/a/b:1`;
      await assert.rejects(pull(name), ({ message }: Error) => expected.test(message));
      await assert.rejects(images().inspect(name), { kind: "not-found" });
    });
  }

  test("a layer whose content is not the config's diff id is refused", async () => {
    await using registry = await listen();
    publish(registry, "a/b", "1", { diffIds: [digest("something else")] });
    await assert.rejects(pull(`${registry.host}/a/b:1`), { kind: "corrupt" });
  });

  test("refusals are worded as docker words them", async () => {
    await using registry = await listen();
    const name = `${registry.host}/a/b`;
    await assert.rejects(pull(`${name}:no`), {
      kind: "not-found",
      message: `manifest for ${name}:no not found: manifest unknown: manifest unknown`,
    });
    const errors = [{ code: "DENIED", message: "requested access to the resource is denied" }];
    registry.faults.push({ match: /manifests/, status: 403, body: JSON.stringify({ errors }) });
    await assert.rejects(pull(`${name}:no`), {
      message:
        `pull access denied for ${name}, repository does not exist or may require ` +
        "'docker login': denied: requested access to the resource is denied",
    });
    await assert.rejects(all(images().push(`${name}:none`)), {
      message: `An image does not exist locally with the tag: ${name}`,
    });
  });

  test("Retry-After is waited for", async () => {
    await using registry = await listen();
    const { id } = publish(registry, "a/b", "1");
    const headers = { "Retry-After": "0" };
    registry.faults.push({ match: /manifests/, status: 429, headers, times: 2 });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
  });

  test("a registry that is just being restarted is asked again, one that is not there is not", async () => {
    await using registry = await listen({ tokens: "anonymous" });
    const { id, manifest } = publish(registry, "a/b", "1");
    const name = `${registry.host}/a/b`;
    const { config } = JSON.parse(`${registry.manifests.get(`a/b ${manifest}`)!.raw}`);
    for (const match of [/tags\/list/, /token/, /manifests/, new RegExp(config.digest)]) {
      registry.faults.push({ match, status: 502 });
    }
    registry.faults.push({ match: /manifests/, status: 503, body: "<html>" });
    await pull(name);
    assert.equal((await images().inspect(`${name}:1`)).id, id);
    assert.ok(registry.faults.every(({ times }) => times === 0));
    const asked = registry.asked(/manifests/).length;
    const headers = { "Retry-After": "86400" };
    registry.faults.push({ match: /manifests/, status: 503, headers, times: 9 });
    await assert.rejects(pull(`${name}:2`), /unexpected HTTP status: 503/);
    assert.equal(registry.asked(/manifests/).length, asked + 1);
  });

  test("documents that come compressed unasked are understood, bombs are not unpacked", async () => {
    await using registry = await listen();
    const { id, manifest } = publish(registry, "a/b", "1");
    const { raw, type } = registry.manifests.get(`a/b ${manifest}`)!;
    const headers = {
      "Content-Type": type,
      "Content-Encoding": "gzip",
      "Docker-Content-Digest": manifest,
    };
    const gzipped = (bytes: Uint8Array) =>
      registry.faults.push({ match: /manifests/, status: 200, headers, body: gzipSync(bytes) });
    gzipped(raw);
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
    gzipped(Buffer.alloc(9 << 20));
    await assert.rejects(pull(`${registry.host}/a/b:bomb`), /answer is larger than \d+ bytes/);
  });

  test("tokens are fetched, for strangers and for users", async () => {
    const user = { name: "me", password: "secret" };
    const credentials = { username: "me", password: "secret" };
    await using open = await listen({ tokens: "anonymous" });
    publish(open, "a/b", "1");
    await pull(`${open.host}/a/b:1`);
    await using closed = await listen({ tokens: "users", user });
    publish(closed, "a/b", "1");
    const name = `${closed.host}/a/b:1`;
    await assert.rejects(pull(name), { kind: "unauthorized" });
    await pull(name, { credentials });
    await images().login(closed.host, credentials);
    await assert.rejects(
      images().login(closed.host, { username: "me", password: "wrong" }),
      ({ message }: Error) => /unauthorized: incorrect username or password/.test(message),
    );
  });

  test("Basic credentials are sent only when they are asked for", async () => {
    await using registry = await listen({ user: { name: "me", password: "secret" } });
    publish(registry, "a/b", "1");
    const name = `${registry.host}/a/b:1`;
    await assert.rejects(pull(name), ({ message }: Error) => /no basic auth cred/.test(message));
    await pull(name, { credentials: { username: "me", password: "secret" } });
    await images().login(registry.host, { username: "me", password: "secret" });
    await assert.rejects(images().login(registry.host, { username: "me", password: "no" }), {
      kind: "unauthorized",
    });
  });

  test("credentials do not follow a redirect to another host", async () => {
    await using registry = await listen({ user: { name: "me", password: "secret" } });
    await using elsewhere = await listen();
    const { layers } = publish(registry, "a/b", "1");
    publish(elsewhere, "a/b", "1", { layers });
    const blob = digest(layers[0]!.blob);
    const headers = { Location: `http://${elsewhere.host}/v2/a/b/blobs/${blob}` };
    registry.faults.push({ match: new RegExp(`GET .*${blob}`), status: 307, headers });
    const credentials = { username: "me", password: "secret" };
    await pull(`${registry.host}/a/b:1`, { credentials });
    assert.equal(elsewhere.asked(/GET .*blobs/).length, 1);
    assert.ok(elsewhere.headers.every(({ authorization }) => authorization === undefined));
  });

  test("an image that was made here goes out and comes back the same", async () => {
    await using registry = await listen();
    const name = `${registry.host}/made/here`;
    await images().tag(IMAGE, name, "1");
    const { id } = await images().inspect(`${name}:1`);
    const lines = await all(images().push(`${name}:1`));
    assert.equal(lines[0], `The push refers to repository [${name}]`);
    const pushed = /digest: (sha256:\w+) size/.exec(lines.join("\n"))?.[1];
    const moved = registry.asked(/PATCH/).length;
    const again = await all(images().push(`${name}:1`));
    assert.ok(again.some((line) => line.endsWith("Layer already exists")));
    assert.equal(registry.asked(/PATCH/).length, moved);
    await images().remove(`${name}:1`, { force: true });
    await pull(`${name}:1`);
    const back = await images().inspect(`${name}:1`);
    assert.equal(back.id, id);
    assert.ok(back.repoDigests.includes(`${name}@${pushed}`));
  });

  test("pushing back what was pulled moves no layer and keeps the digest", async () => {
    await using registry = await listen();
    const { manifest } = publish(registry, "a/b", "1");
    await pull(`${registry.host}/a/b:1`);
    await images().tag(`${registry.host}/a/b:1`, `${registry.host}/c/d`, "2");
    const lines = await all(images().push(`${registry.host}/c/d`, { tag: "2" }));
    assert.ok(lines.some((line) => line.endsWith("Mounted from a/b")));
    assert.ok(lines.some((line) => line.startsWith(`2: digest: ${manifest} `)));
    assert.equal(registry.asked(/PATCH/).length, 0);
  });

  test("manifests that make no sense are refused", async () => {
    await using registry = await listen();
    const { size, manifest } = publish(registry, "a/b", "1");
    const entry = { mediaType: INDEX, digest: manifest, size, platform: undefined };
    const bad: [string, object, string][] = [
      ["not an index", { schemaVersion: 2, mediaType: INDEX, layers: [] }, INDEX],
      ["two readings", { schemaVersion: 2, mediaType: INDEX, manifests: [entry] }, MANIFEST],
      ["bad digest", { schemaVersion: 2, manifests: [{ ...entry, digest: "sha256:../x" }] }, INDEX],
      ["bad size", { schemaVersion: 2, manifests: [{ ...entry, size: -1 }] }, INDEX],
      ["many", { schemaVersion: 2, manifests: Array(2000).fill(entry) }, INDEX],
      ["schema 1", { schemaVersion: 1, fsLayers: [] }, "application/json"],
      ["no config", { schemaVersion: 2, mediaType: MANIFEST, layers: [] }, MANIFEST],
    ];
    for (const [what, document, type] of bad) {
      registry.putManifest("a/b", "bad", document, type);
      await assert.rejects(
        pull(`${registry.host}/a/b:bad`),
        ({ kind }: { kind?: string }) => kind === "invalid" || kind === "not-implemented",
        what,
      );
    }
  });

  test("search and remote inspect ask the registry", async () => {
    await using registry = await listen();
    const { manifest, size } = publish(registry, "a/b", "1");
    const found = await images().search(`${registry.host}/foo`, { limit: 1 });
    assert.deepEqual(
      found.map(({ name }) => name),
      ["foo"],
    );
    const remote = await images().inspectRemote(`${registry.host}/a/b:1`);
    assert.deepEqual(remote.descriptor, { mediaType: MANIFEST, digest: manifest, size });
    assert.deepEqual(remote.platforms, [{ os: "linux", architecture: "amd64" }]);
  });
});
