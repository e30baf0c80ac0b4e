// image verify: what is damaged on disk or in a registry is found and named, and --repair brings it
// back from where it is known to be.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { VerifyMessage } from "../../src/engine/index.ts";
import { digest, FakeRegistry } from "../fakes/registry.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import { rawTar } from "../support/raw-tar.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const skip = process.getuid?.() === 0 ? false : "needs root";

function publish(registry: FakeRegistry, repository: string) {
  const content = randomBytes(50_000);
  const tar = rawTar({ name: "file", content });
  const blob = gzipSync(tar);
  const rootfs = { type: "layers", diff_ids: [digest(tar)] };
  const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs }));
  const document = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, ...registry.putBlob(repository, config) },
    layers: [{ mediaType: LAYER, ...registry.putBlob(repository, blob) }],
  };
  const manifest = registry.putManifest(repository, "1", document, MANIFEST);
  return { manifest, id: digest(config), diffId: digest(tar), blob, content };
}

describe("image verify", { skip }, () => {
  let fixture: EngineFixture;
  let registry: FakeRegistry;
  before(async () => {
    fixture = await EngineFixture.make();
    registry = await FakeRegistry.listen();
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });
  const images = () => fixture.engine.images;
  const data = (...names: string[]) => join(fixture.root, "data", ...names);

  async function verify(o: Partial<Parameters<ReturnType<typeof images>["verify"]>[0]>) {
    const items: NonNullable<VerifyMessage["item"]>[] = [];
    let sums: VerifyMessage["sums"];
    for await (const message of images().verify({ refs: [], ...o })) {
      if (message.item) items.push(message.item);
      sums = message.sums ?? sums;
    }
    return { items, sums: sums!, bad: items.filter(({ state }) => state !== "ok") };
  }

  async function pulled(repository: string) {
    const image = publish(registry, repository);
    const name = `${registry.host}/${repository}`;
    for await (const _ of images().pull(name, { tag: "1" }));
    return { ...image, name: `${name}:1` };
  }

  /** The unpacked file of a layer, found by its content. */
  async function fileOf(content: Buffer): Promise<string> {
    for (const short of await readdir(data("layers"))) {
      const path = data("layers", short, "diff", "file");
      if ((await readFile(path).catch(() => Buffer.alloc(0))).equals(content)) return path;
    }
    throw new Error("the layer is not there");
  }

  test("a sound image passes, each thing once", async () => {
    const { name, id, manifest, diffId } = await pulled("v/sound");
    const { items, sums } = await verify({ refs: [name] });
    assert.deepEqual(
      items.map(({ kind, digest, state }) => [kind, digest, state]),
      [
        ["config", id, "ok"],
        ["manifest", manifest, "ok"],
        ["layer", diffId, "ok"],
      ],
    );
    assert.equal(sums.damaged, 0);
    assert.equal(sums.checked, 3);
  });

  test("a file that changed on disk is found, and comes back from the registry", async () => {
    const { name, diffId, content } = await pulled("v/layer");
    await writeFile(await fileOf(content), "changed");
    const { bad } = await verify({ refs: [name] });
    assert.deepEqual(
      bad.map(({ kind, digest, state, usedBy }) => [kind, digest, state, usedBy]),
      [["layer", diffId, "damaged", [name]]],
    );
    const repaired = await verify({ refs: [name], repair: true });
    assert.deepEqual([repaired.sums.damaged, repaired.sums.repaired], [0, 1]);
    assert.deepEqual(await readFile(await fileOf(content)), content);
    assert.equal((await verify({ all: true })).sums.damaged, 0);
  });

  test("damaged and missing documents come back from the database and the registry", async () => {
    const { name, id, manifest } = await pulled("v/documents");
    const blob = (of: string) => data("blobs/sha256", of.slice("sha256:".length));
    await writeFile(blob(id), "{}");
    await rm(blob(manifest));
    const { bad } = await verify({ refs: [name] });
    assert.deepEqual(
      bad.map(({ kind, state }) => [kind, state]),
      [
        ["config", "damaged"],
        ["manifest", "missing"],
      ],
    );
    const { sums, items } = await verify({ refs: [name], repair: true });
    assert.equal(sums.repaired, 2, JSON.stringify(items));
    assert.equal((await verify({ refs: [name] })).sums.damaged, 0);
  });

  test("what cannot be had again stays damaged and says why", async () => {
    const { name, content, blob } = await pulled("v/lost");
    registry.blobs.delete(digest(blob));
    await rm(await fileOf(content));
    const { sums, bad } = await verify({ refs: [name], repair: true });
    assert.equal(sums.damaged, 1);
    assert.match(bad[0]?.problem ?? "", /not repaired: /);
  });

  test("a layer that a container runs on is not replaced", async () => {
    await using run = await runPayload();
    const image = await images().inspect("payload:latest");
    const [short] = await readdir(data("layers")).then(async (names) => {
      const kept: string[] = [];
      for (const name of names) {
        const bin = await readdir(data("layers", name, "diff", "bin")).catch(() => []);
        if (bin.length > 0) kept.push(name);
      }
      return kept;
    });
    await writeFile(data("layers", short!, "diff", "etc-added"), "not of the tar");
    const { bad } = await verify({ refs: ["payload:latest"] });
    // A file more does not change the tar; one less does.
    assert.deepEqual(bad, []);
    await rm(data("layers", short!, "split"));
    const { bad: damaged } = await verify({ refs: ["payload:latest"], repair: true });
    assert.equal(damaged[0]?.digest, image.layers[0]);
    assert.match(damaged[0]?.problem ?? "", new RegExp(`container ${run.id.slice(0, 12)} runs on`));
  });

  async function runPayload() {
    const { containers } = fixture.engine;
    const config = { Image: "payload:latest", Cmd: ["/bin/sleep", "60"] };
    const { id } = await containers.create({ config, hostConfig: { NetworkMode: "none" } });
    await containers.start(id);
    return {
      id,
      [Symbol.asyncDispose]: () => containers.remove(id, { force: true }),
    };
  }

  test("a remote image is checked blob by blob", async () => {
    const { blob, id, manifest } = publish(registry, "v/remote");
    const ref = `${registry.host}/v/remote:1`;
    const sound = await verify({ refs: [ref], remote: true });
    assert.deepEqual(
      sound.items.map(({ kind, digest, state }) => [kind, digest, state]),
      [
        ["manifest", manifest, "ok"],
        ["config", id, "ok"],
        ["blob", digest(blob), "ok"],
      ],
    );
    registry.blobs.set(digest(blob), randomBytes(blob.length));
    const { bad, sums } = await verify({ refs: [ref], remote: true });
    assert.equal(sums.damaged, 1);
    assert.equal(bad[0]?.digest, digest(blob));
    assert.match(bad[0]?.problem ?? "", /has digest sha256/);
    await assert.rejects(verify({ refs: [`${registry.host}/v/none:1`], remote: true }), {
      kind: "not-found",
    });
  });
});
