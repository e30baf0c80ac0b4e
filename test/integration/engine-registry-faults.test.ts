// Pulls that are cut, cancelled, killed, lied to: the next one goes on where the last one stopped,
// nothing half made is ever seen, and what two pulls want at once comes once.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomInt } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { Progress } from "../../src/engine/index.ts";
import { digest, FakeRegistry, type RegistryOptions } from "../fakes/registry.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import {
  INDEX,
  MANIFEST,
  publishImage,
  type TestLayer,
  testDistribution,
  testLayer,
} from "../support/registry-images.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const CHILD = join(import.meta.dirname, "../support/pull-until-killed.ts");

/** Every wait of these tests has this deadline. */
const waitMsMax = 30_000;

async function all(messages: AsyncIterable<Progress>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { status, id } of messages) lines.push(id ? `${id}: ${status}` : `${status}`);
  return lines;
}

describe("pulls that go wrong", { skip }, () => {
  let fixture: EngineFixture;
  const options = testDistribution({
    downloads: { pieceBytes: 100_000, progressBytes: 1000 },
    limits: { idleTimeoutMs: 300 },
  });
  before(async () => {
    fixture = await EngineFixture.make(options);
  });
  after(() => fixture[Symbol.asyncDispose]());
  const images = () => fixture.engine.images;
  const pull = (name: string, { signal }: { signal?: AbortSignal } = {}): Promise<string[]> => {
    const deadline = AbortSignal.timeout(waitMsMax);
    const signals = signal ? AbortSignal.any([signal, deadline]) : deadline;
    return all(images().pull(name, { signal: signals }));
  };
  const listen = (o: RegistryOptions = {}) => FakeRegistry.listen(o);
  const getOf = ({ blob }: TestLayer): RegExp => new RegExp(`GET .*${digest(blob)}`);
  const data = (...path: string[]): string => join(fixture.options.dataRoot!, ...path);
  const partialOf = ({ blob }: TestLayer): string =>
    data("partial", digest(blob).replace(":", "-"));

  /** Resolves when so many bytes of the blob are on the disk. */
  async function arrived(layer: TestLayer, bytes: number): Promise<void> {
    const deadline = Date.now() + waitMsMax;
    for (;;) {
      const folder = partialOf(layer);
      const names = await readdir(folder).catch(() => []);
      const sizes = await Promise.all(
        names.map(async (name) => (await stat(join(folder, name))).size),
      );
      if (sizes.reduce((sum, size) => sum + size, 0) >= bytes) return;
      assert.ok(Date.now() < deadline, `${bytes} bytes have not come`);
      await delay(5);
    }
  }
  const sent = (registry: FakeRegistry, { blob }: TestLayer): number =>
    registry.reads
      .filter((read) => read.blob === digest(blob))
      .reduce((sum, read) => sum + read.sent, 0);

  test("a cancelled pull goes on at the byte where it stopped, after a restart too", async () => {
    await using registry = await listen();
    const small = testLayer(gzipSync, { bytes: 50_000 });
    const layer = testLayer(gzipSync, { bytes: 150_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [small, layer] });
    const name = `${registry.host}/a/b:1`;
    registry.faults.push({ match: getOf(layer), stallAt: 70_001 });
    const stop = new AbortController();
    const first = pull(name, { signal: stop.signal });
    await arrived(layer, 70_001);
    stop.abort();
    await assert.rejects(first);
    await assert.rejects(images().inspect(name), { kind: "not-found" });
    await fixture.close();
    await fixture.open();
    await pull(name);
    assert.equal((await images().inspect(name)).id, id);
    assert.equal(sent(registry, layer), layer.blob.length);
    assert.deepEqual(
      registry.reads.filter(({ blob }) => blob === digest(layer.blob)).map(({ from }) => from),
      [0, 70_001],
    );
    assert.equal(sent(registry, small), small.blob.length);
    assert.deepEqual(await readdir(data("partial")), []);
  });

  test("a killed engine's pull goes on at the byte where it stopped", async () => {
    await using registry = await listen();
    const layer = testLayer(gzipSync, { bytes: 150_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    const name = `${registry.host}/a/b:1`;
    registry.faults.push({ match: getOf(layer), stallAt: 33_333 });
    await fixture.close();
    const child = spawn(process.execPath, [CHILD, JSON.stringify(fixture.options), name], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const ended = once(child, "exit");
    await arrived(layer, 33_333).finally(() => child.kill("SIGKILL"));
    await ended;
    await fixture.open();
    await assert.rejects(images().inspect(name), { kind: "not-found" });
    await pull(name);
    assert.equal((await images().inspect(name)).id, id);
    assert.equal(sent(registry, layer), layer.blob.length);
  });

  test("what an interrupted pull has left is counted, and goes with a prune", async () => {
    await using registry = await listen();
    const small = testLayer(gzipSync, { bytes: 10_000 });
    const layer = testLayer(gzipSync, { bytes: 150_000 });
    publishImage(registry, "a/b", "1", { layers: [small, layer] });
    const size = async () => Number((await fixture.engine.system.df()).LayersSize);
    const before = await size();
    registry.faults.push({ match: getOf(layer), stallAt: 70_000 });
    const stop = new AbortController();
    const first = pull(`${registry.host}/a/b:1`, { signal: stop.signal });
    await arrived(layer, 70_000);
    // In flight nothing of it is touched.
    assert.equal((await images().prune()).spaceReclaimed, 0);
    stop.abort();
    await assert.rejects(first);
    assert.ok((await size()) >= before + 70_000);
    assert.equal((await images().prune(new Map([["label", ["x"]]]))).spaceReclaimed, 0);
    assert.equal((await images().prune(new Map([["until", ["1h"]]]))).spaceReclaimed, 0);
    assert.ok((await images().prune()).spaceReclaimed >= 70_000);
    assert.deepEqual(await readdir(data("partial")), []);
    assert.equal(await size(), before);
    await pull(`${registry.host}/a/b:1`);
  });

  test("a byte that went bad on the disk meanwhile costs a fresh transfer, no more", async () => {
    await using registry = await listen();
    const layer = testLayer(gzipSync, { bytes: 150_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    const name = `${registry.host}/a/b:1`;
    registry.faults.push({ match: getOf(layer), stallAt: 60_000 });
    const stop = new AbortController();
    const first = pull(name, { signal: stop.signal });
    await arrived(layer, 60_000);
    stop.abort();
    await assert.rejects(first);
    const file = join(partialOf(layer), "0");
    const bytes = await readFile(file);
    bytes[50_000]! ^= 1;
    await writeFile(file, bytes);
    await pull(name);
    assert.equal((await images().inspect(name)).id, id);
  });

  test("a large layer comes in pieces, whatever is cut", async () => {
    await using registry = await listen();
    const layer = testLayer(gzipSync, { bytes: 2_000_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    const name = `${registry.host}/a/b:1`;
    for (let cut = 0; cut < 5; cut++) {
      registry.faults.push({ match: getOf(layer), cutAt: randomInt(1, 100_000) });
    }
    await pull(name);
    assert.equal((await images().inspect(name)).id, id);
    const ranges = registry.reads.flatMap(({ blob, range }) =>
      blob === digest(layer.blob) ? [range ?? "whole"] : [],
    );
    assert.ok(ranges.length > 20 && ranges.every((range) => range.startsWith("bytes=")));
  });

  for (const noRanges of [true, "refused"] as const) {
    test(`a registry whose ranges are ${noRanges === true ? "ignored" : noRanges} will do`, async () => {
      await using registry = await listen({ noRanges });
      const layer = testLayer(gzipSync, { bytes: 700_000 });
      const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
      const name = `${registry.host}/a/b:1`;
      registry.faults.push({ match: getOf(layer), cutAt: 250_000 });
      await pull(name);
      assert.equal((await images().inspect(name)).id, id);
    });
  }

  test("a registry that falls silent is asked again", async () => {
    await using registry = await listen();
    const layer = testLayer();
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    registry.faults.push({ match: getOf(layer), stallAt: 20_000 });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
    assert.equal(sent(registry, layer), layer.blob.length);
  });

  test("of two pulls that share a transfer one may leave", async () => {
    await using registry = await listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    publishImage(registry, "a/b", "1", { layers: [layer] });
    publishImage(registry, "c/d", "1", { layers: [layer] });
    const { promise: resume, resolve } = Promise.withResolvers<void>();
    registry.faults.push({ match: getOf(layer), pauseAt: 20_000, resume });
    const stop = new AbortController();
    const first = pull(`${registry.host}/a/b:1`, { signal: stop.signal });
    const gone = assert.rejects(first);
    await arrived(layer, 20_000);
    const signal = AbortSignal.timeout(waitMsMax);
    const second = images().pull(`${registry.host}/c/d:1`, { signal })[Symbol.asyncIterator]();
    // The second one hears of it: it shares the transfer.
    for (let told = await second.next(); told.value?.status !== "Downloading"; ) {
      assert.ok(!told.done);
      told = await second.next();
    }
    stop.abort();
    await gone;
    resolve();
    for (let told = await second.next(); !told.done; told = await second.next());
    await images().inspect(`${registry.host}/c/d:1`);
    assert.equal(registry.asked(getOf(layer)).length, 1);
  });

  test("bytes that are wrong are thrown away and fetched once more", async () => {
    await using registry = await listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    const { id } = publishImage(registry, "a/b", "1", { layers: [layer] });
    registry.faults.push({ match: getOf(layer), corrupt: true });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
  });

  test("a layer that ends in the middle of its gzip is refused, and fetched once", async () => {
    await using registry = await listen();
    const whole = testLayer(gzipSync, { bytes: 50_000 });
    const cut = { ...whole, blob: whole.blob.subarray(0, 20_000) };
    publishImage(registry, "a/b", "1", { layers: [cut] });
    await assert.rejects(pull(`${registry.host}/a/b:1`), {
      kind: "corrupt",
      message: "unexpected EOF",
    });
    assert.equal(registry.asked(getOf(cut)).length, 1);
    assert.deepEqual(await readdir(data("partial")), []);
  });

  test("a size that no disk has is refused at once", async () => {
    await using registry = await listen();
    const { layers } = publishImage(registry, "a/b", "1");
    const { raw } = registry.manifests.get("a/b 1")!;
    const document = JSON.parse(raw.toString());
    document.layers[0].size = Number.MAX_SAFE_INTEGER;
    registry.putManifest("a/b", "huge", document, MANIFEST);
    await assert.rejects(pull(`${registry.host}/a/b:huge`), { kind: "exhausted" });
    assert.equal(registry.asked(getOf(layers[0]!)).length, 0);
  });

  test("the index stays with the image, and is mended when its file is damaged", async () => {
    await using registry = await listen();
    const { manifest, size, id } = publishImage(registry, "a/b", "one");
    const entries = [
      {
        mediaType: MANIFEST,
        digest: digest("attestation"),
        size: 11,
        platform: { os: "unknown", architecture: "unknown" },
      },
      { mediaType: MANIFEST, digest: manifest, size },
    ];
    const top = registry.putManifest(
      "a/b",
      "1",
      { schemaVersion: 2, mediaType: INDEX, manifests: entries },
      INDEX,
    );
    const name = `${registry.host}/a/b:1`;
    await pull(name);
    const found = await images().inspect(name);
    assert.equal(found.id, id);
    assert.deepEqual(found.repoDigests, [`${registry.host}/a/b@${top}`]);
    const file = data("blobs", "sha256", top.slice(7));
    assert.equal(digest(await readFile(file)), top);
    await writeFile(file, "damaged");
    assert.ok((await pull(name)).some((line) => line.startsWith("Status: Image is up to date")));
    assert.equal(digest(await readFile(file)), top);
    assert.deepEqual(await readdir(data("damaged")), [top.replace(":", "-")]);
    const before = registry.asked(/GET .*(manifests|blobs)/).length;
    await pull(name);
    assert.equal(registry.asked(/GET .*(manifests|blobs)/).length, before);
    await images().remove(name, { force: true });
    await assert.rejects(stat(file), { code: "ENOENT" });
  });

  test("sha512 names blobs as well", async () => {
    await using registry = await listen();
    const nameOf = (bytes: Buffer): string =>
      `sha512:${createHash("sha512").update(bytes).digest("hex")}`;
    const { id } = publishImage(registry, "a/b", "1", { nameOf });
    await pull(`${registry.host}/a/b:1`);
    assert.equal((await images().inspect(`${registry.host}/a/b:1`)).id, id);
  });

  test("a layer that only a foreign address holds is kept as it came", async () => {
    await using registry = await listen();
    await using elsewhere = await listen();
    const layer = testLayer(gzipSync, { bytes: 50_000 });
    elsewhere.putBlob("x/y", layer.blob);
    const url = `http://${elsewhere.host}/v2/x/y/blobs/${digest(layer.blob)}`;
    const type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    publishImage(registry, "a/b", "1", { layers: [{ ...layer, type, urls: [url] }] });
    const name = `${registry.host}/a/b:1`;
    await pull(name);
    const kept = data("blobs", "sha256", digest(layer.blob).slice(7));
    assert.deepEqual(await readFile(kept), layer.blob);
    await images().remove(name, { force: true });
    await assert.rejects(stat(kept), { code: "ENOENT" });
  });
});
