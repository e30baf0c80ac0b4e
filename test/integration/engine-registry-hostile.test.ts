// Registries that mean harm, or do it: names that climb, manifests without end, answers that never
// come to one. Each gets a clear error in time, and nothing of it stays.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { digest, FakeRegistry } from "../fakes/registry.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import {
  INDEX,
  LAYER,
  MANIFEST,
  publishImage,
  type TestLayer,
  testDistribution,
  testLayer,
} from "../support/registry-images.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const waitMsMax = 30_000;

describe("hostile registries", { skip }, () => {
  let fixture: EngineFixture;
  before(async () => {
    fixture = await EngineFixture.make(testDistribution({ limits: { idleTimeoutMs: 200 } }));
  });
  after(() => fixture[Symbol.asyncDispose]());
  const images = () => fixture.engine.images;
  const getOf = ({ blob }: TestLayer): RegExp => new RegExp(`GET .*${digest(blob)}`);

  const readsOf = ({ reads }: FakeRegistry, { blob }: TestLayer) =>
    reads.filter((read) => read.blob === digest(blob));

  async function pull(name: string): Promise<void> {
    const messages = images().pull(name, { signal: AbortSignal.timeout(waitMsMax) });
    for await (const _ of messages);
  }

  /** What lies about of images and transfers. */
  async function stored(): Promise<string[][]> {
    const folders = ["blobs/sha256", "blobs/sha512", "layers", "partial", "ingest", "damaged"];
    return Promise.all(folders.map((name) => readdir(join(fixture.options.dataRoot!, name))));
  }

  async function refused(name: string, expected: { kind: string; message: RegExp }): Promise<void> {
    const before = await stored();
    await assert.rejects(pull(name), expected);
    assert.deepEqual(await stored(), before);
  }

  test("a trickle is cut, and what it brought is not asked for again", async () => {
    await using registry = await FakeRegistry.listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    registry.faults.push({ match: getOf(layer), trickle: { bytes: 20, pauseMs: 20 } });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
    const [slow, fast, ...others] = readsOf(registry, layer);
    assert.deepEqual(others, []);
    assert.ok(slow!.sent < 10_000, `the trickle went on for ${slow!.sent} bytes`);
    assert.ok(fast!.from > 0 && fast!.from <= slow!.sent, `went on at ${fast!.from}`);
  });

  test("a registry that only trickles is given up in the end", async () => {
    await using registry = await FakeRegistry.listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    publishImage(registry, "a/b", "1", { layers: [layer] });
    registry.faults.push({
      match: getOf(layer),
      trickle: { bytes: 20, pauseMs: 20 },
      times: Number.POSITIVE_INFINITY,
    });
    await assert.rejects(pull(`${registry.host}/a/b:1`), {
      kind: "timeout",
      message: /the answer trickles/,
    });
    assert.equal(readsOf(registry, layer).length, 5);
  });

  test("a slow connection that moves is none of that", async () => {
    await using registry = await FakeRegistry.listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    registry.faults.push({ match: getOf(layer), trickle: { bytes: 2_000, pauseMs: 20 } });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
    assert.equal(readsOf(registry, layer).length, 1);
  });

  for (const count of [500, 10_000]) {
    test(`a manifest of ${count} layers is refused before any of them is fetched`, async () => {
      await using registry = await FakeRegistry.listen();
      const layer = testLayer(gzipSync, { bytes: 100 });
      const blob = registry.putBlob("a/b", layer.blob);
      const layers = Array.from({ length: count }, () => ({ mediaType: LAYER, ...blob }));
      const rootfs = { type: "layers", diff_ids: layers.map(() => digest(layer.tar)) };
      const raw = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs }));
      const mediaType = "application/vnd.docker.container.image.v1+json";
      const config = { mediaType, ...registry.putBlob("a/b", raw) };
      const document = { schemaVersion: 2, mediaType: MANIFEST, config, layers };
      registry.putManifest("a/b", "1", document, MANIFEST);
      await refused(`${registry.host}/a/b:1`, {
        kind: "invalid",
        message: new RegExp(`layers has ${count} entries, more than 499`),
      });
      assert.deepEqual(registry.reads, []);
    });
  }

  test("layers named by sha512 are refused in so many words", async () => {
    await using registry = await FakeRegistry.listen();
    const layer = testLayer();
    const name = `sha512:${createHash("sha512").update(layer.tar).digest("hex")}`;
    publishImage(registry, "a/b", "1", { layers: [layer], diffIds: [name] });
    await refused(`${registry.host}/a/b:1`, {
      kind: "not-implemented",
      message: /image names its layers by sha512: only sha256 is supported/,
    });
    assert.equal(registry.asked(getOf(layer)).length, 0);
  });

  const climbing = "sha256:../../../../../../etc/passwd";
  test("digests that climb are refused wherever they stand", async () => {
    await using registry = await FakeRegistry.listen();
    const { manifest, size } = publishImage(registry, "a/b", "1");
    const good = JSON.parse(registry.manifests.get("a/b 1")!.raw.toString());
    const hostile = {
      config: { ...good, config: { ...good.config, digest: climbing } },
      layer: { ...good, layers: [{ ...good.layers[0], digest: climbing }] },
      upper: { ...good, layers: [{ ...good.layers[0], digest: manifest.toUpperCase() }] },
      object: { ...good, layers: [{ ...good.layers[0], digest: { toString: "x" } }] },
    };
    for (const [tag, document] of Object.entries(hostile)) {
      registry.putManifest("a/b", tag, document, MANIFEST);
      const message = /invalid manifest: .* has a bad digest/;
      await refused(`${registry.host}/a/b:${tag}`, { kind: "invalid", message });
    }
    const entries = [{ mediaType: MANIFEST, digest: climbing, size }];
    const index = { schemaVersion: 2, mediaType: INDEX, manifests: entries };
    registry.putManifest("a/b", "index", index, INDEX);
    const message = /manifests\[0\] has a bad digest/;
    await refused(`${registry.host}/a/b:index`, { kind: "invalid", message });
    publishImage(registry, "a/b", "diff", { diffIds: [climbing] });
    await refused(`${registry.host}/a/b:diff`, { kind: "invalid", message: /don't match image/ });
  });

  test("names that climb are refused before anybody is asked", async () => {
    await using registry = await FakeRegistry.listen();
    const names = ["../../etc:1", "a/../b:1", "a/b:../1", "a//b:1", "A/b:1", "a/b%2f..:1", "a/b:"];
    for (const name of names) {
      const expected = { kind: "invalid", message: /invalid reference format|must be lowercase/ };
      await refused(`${registry.host}/${name}`, expected);
    }
    assert.deepEqual(registry.requests, []);
  });

  test("tags that a registry makes up are refused when all are asked for", async () => {
    await using registry = await FakeRegistry.listen();
    publishImage(registry, "a/b", "../../../v2/other/manifests/1");
    const before = await stored();
    const messages = images().pull(`${registry.host}/a/b`, {
      signal: AbortSignal.timeout(waitMsMax),
    });
    await assert.rejects(Array.fromAsync(messages), { kind: "invalid" });
    assert.deepEqual(await stored(), before);
  });
});
