// Pushing through an engine: what was pulled goes on as it came, to the same registry and to
// others, and what was made here is remembered.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Progress } from "../../src/engine/index.ts";
import { digest, FakeRegistry, type RegistryOptions } from "../fakes/registry.ts";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";

async function all(messages: AsyncIterable<Progress>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { status, id } of messages) {
    if (status !== undefined) lines.push(id ? `${id}: ${status}` : `${status}`);
  }
  return lines;
}

describe("pushes of an engine", { skip }, () => {
  let fixture: EngineFixture;
  const open: FakeRegistry[] = [];
  before(async () => {
    fixture = await EngineFixture.make();
  });
  after(() => fixture[Symbol.asyncDispose]());
  afterEach(async () => {
    for (const registry of open.splice(0)) await registry[Symbol.asyncDispose]();
  });
  const images = () => fixture.engine.images;
  async function listen(options: RegistryOptions = {}): Promise<FakeRegistry> {
    const registry = await FakeRegistry.listen(options);
    open.push(registry);
    return registry;
  }

  /** An image with a gzip layer, a zstd layer and a plain one, made by other tools than ours. */
  function publish(
    registry: FakeRegistry,
    repository: string,
    { tag = "1", architecture = "amd64" } = {},
  ): { manifest: string; id: string } {
    const tars = [0, 1, 2].map(() => tarWith(randomBytes(20_000)));
    const forms = [
      { suffix: "+gzip", data: gzipSync(tars[0]!, { level: 9 }) },
      { suffix: "+zstd", data: zstdCompressSync(tars[1]!) },
      { suffix: "", data: tars[2]! },
    ];
    const layers = forms.map(({ suffix, data }) => ({
      mediaType: `${OCI_LAYER}${suffix}`,
      ...registry.putBlob(repository, data),
    }));
    const diffIds = tars.map((tar) => digest(tar));
    const config = Buffer.from(
      JSON.stringify({
        architecture,
        os: "linux",
        rootfs: { type: "layers", diff_ids: diffIds },
      }),
    );
    const document = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, ...registry.putBlob(repository, config) },
      layers,
      annotations: { "org.example.note": "kept as it is" },
    };
    const manifest = registry.putManifest(repository, tag, document, OCI_MANIFEST);
    return { manifest, id: digest(config) };
  }

  /** A tar with one file. */
  function tarWith(data: Buffer): Buffer {
    const header = Buffer.alloc(512);
    header.write(`file-${randomBytes(4).toString("hex")}`);
    header.write("0000644\0", 100);
    header.write("0000000\0", 108);
    header.write("0000000\0", 116);
    header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write("0ustar\x0000", 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
    return Buffer.concat([header, data, padding, Buffer.alloc(1024)]);
  }

  function stored(registry: FakeRegistry, name: string): { layers: { digest: string }[] } {
    return JSON.parse(registry.manifests.get(name)!.raw.toString());
  }

  test("what was pulled keeps its digest in another registry, whatever made its layers", async () => {
    const source = await listen();
    const target = await listen();
    const { manifest, id } = publish(source, "lib/app");
    await all(images().pull(`${source.host}/lib/app:1`));
    await images().tag(`${source.host}/lib/app:1`, `${target.host}/mine/app`, "2");
    const lines = await all(images().push(`${target.host}/mine/app`, { tag: "2" }));
    assert.match(lines.at(-1)!, new RegExp(`^2: digest: ${manifest} size: \\d+$`));
    const there = target.manifests.get("mine/app 2")!;
    assert.equal(digest(there.raw), manifest);
    assert.equal(there.type, OCI_MANIFEST);
    for (const layer of stored(target, "mine/app 2").layers) {
      assert.ok(target.links.has(`mine/app ${layer.digest}`));
      assert.equal(digest(target.blobs.get(layer.digest)!), layer.digest);
    }
    const found = await images().inspect(`${target.host}/mine/app:2`);
    assert.equal(found.id, id);
    assert.ok(found.repoDigests.includes(`${target.host}/mine/app@${manifest}`));
    await images().remove(`${target.host}/mine/app:2`, { force: true });
    await images().remove(`${source.host}/lib/app:1`, { force: true });
    await all(images().pull(`${target.host}/mine/app:2`));
    assert.equal((await images().inspect(`${target.host}/mine/app:2`)).id, id);
  });

  test("pushing back moves no bytes, and neither does another repository", async () => {
    const registry = await listen();
    const { manifest } = publish(registry, "lib/app");
    const name = `${registry.host}/lib/app:1`;
    await all(images().pull(name));
    const back = await all(images().push(name));
    assert.match(back.at(-1)!, new RegExp(manifest));
    assert.equal(registry.uploads.bytesReceived, 0);
    await images().tag(name, `${registry.host}/other/app`, "1");
    const lines = await all(images().push(`${registry.host}/other/app:1`));
    assert.equal(lines.filter((line) => line.endsWith("Mounted from lib/app")).length, 3);
    assert.equal(digest(registry.manifests.get("other/app 1")!.raw), manifest);
    const config = registry.blobs.get((await images().inspect(name)).id)!;
    assert.equal(registry.uploads.bytesReceived, config.length, "only the config is sent");
  });

  test("what was made here is compressed once, and found by the next push", async () => {
    const registry = await listen();
    const name = `${registry.host}/made/here:1`;
    await images().tag(IMAGE, `${registry.host}/made/here`, "1");
    await images().tag(IMAGE, `${registry.host}/made/again`, "1");
    const first = await all(images().push(name));
    const [layer] = (await images().inspect(name)).layers;
    const id = layer!.slice(7, 19);
    assert.deepEqual(
      first.filter((line) => !line.endsWith("Pushing")).map((line) => line.replace(/ sha.*/, "")),
      [
        `The push refers to repository [${registry.host}/made/here]`,
        `${id}: Preparing`,
        `${id}: Pushed`,
        "1: digest:",
      ],
    );
    const moved = registry.uploads.bytesReceived;
    const again = await all(images().push(name));
    assert.ok(again.includes(`${id}: Layer already exists`));
    const mounted = await all(images().push(`${registry.host}/made/again:1`));
    assert.ok(mounted.includes(`${id}: Mounted from made/here`));
    assert.equal(again.at(-1), first.at(-1));
    assert.equal(mounted.at(-1), first.at(-1));
    const rawConfig = registry.blobs.get((await images().inspect(name)).id)!;
    assert.equal(registry.uploads.bytesReceived, moved + rawConfig.length);
  });

  test("without a tag every tag goes; a tag that is not there is named", async () => {
    const registry = await listen();
    const repository = `${registry.host}/made/many`;
    for (const tag of ["b", "a"]) await images().tag(IMAGE, repository, tag);
    const lines = await all(images().push(repository));
    const pushed = lines.flatMap((line) => /^(\w+): digest:/.exec(line)?.[1] ?? []);
    assert.deepEqual(pushed, ["a", "b"]);
    await assert.rejects(all(images().push(`${repository}:c`)), {
      kind: "not-found",
      message: `tag does not exist: ${repository}:c`,
    });
    await assert.rejects(all(images().push(`${repository}:a`, { platform: "linux/s390x" })), {
      message: /does not match the specified platform \(linux\/s390x\)/,
    });
  });

  test("an image of an index goes as one platform, or with all of them as the index", async () => {
    const source = await listen();
    const target = await listen();
    const manifests = ["amd64", "arm64"].map((architecture) => {
      const { manifest } = publish(source, "lib/multi", { tag: architecture, architecture });
      const size = source.manifests.get(`lib/multi ${architecture}`)!.raw.length;
      const platform = { os: "linux", architecture };
      return { mediaType: OCI_MANIFEST, digest: manifest, size, platform };
    });
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    const top = source.putManifest("lib/multi", "1", index, OCI_INDEX);
    const name = `${source.host}/lib/multi:1`;
    await all(images().pull(name, { platform: "linux/arm64" }));
    await images().tag(name, `${target.host}/mine/multi`, "1");
    const moved = `${target.host}/mine/multi:1`;
    await all(images().push(moved));
    assert.equal(digest(target.manifests.get("mine/multi 1")!.raw), manifests[1]!.digest);
    await assert.rejects(all(images().push(moved, { allPlatforms: true })), {
      kind: "conflict",
      message: /lists images that are not here: linux\/amd64/,
    });
    await all(images().pull(name, { platform: "linux/amd64" }));
    const lines = await all(images().push(moved, { allPlatforms: true }));
    assert.match(lines.at(-1)!, new RegExp(`^1: digest: ${top} size: \\d+$`));
    assert.equal(target.manifests.get("mine/multi 1")!.type, OCI_INDEX);
    for (const { digest: each } of manifests) assert.ok(target.manifests.has(`mine/multi ${each}`));
  });

  test("who stops reading ends the push, and nothing is left at the registry", async () => {
    const registry = await listen();
    const name = `${registry.host}/made/stopped:1`;
    await images().tag(IMAGE, `${registry.host}/made/stopped`, "1");
    registry.faults.push({ match: /^P(ATCH|UT)/, cutUploadAt: 100, times: 99 });
    for await (const { status } of images().push(name)) {
      if (status === "Preparing") break;
    }
    assert.equal(registry.uploads.sessions.size, 0);
    registry.faults = [];
    await all(images().push(name));
    assert.ok(registry.manifests.has("made/stopped 1"));
  });
});
