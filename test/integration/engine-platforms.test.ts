// Several platforms of a name that were pulled one by one: which of them stand beside it, which are
// left behind when it moves, and how some of them are removed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FakeRegistry } from "../fakes/registry.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import { INDEX, MANIFEST, publishImage, testDistribution } from "../support/registry-images.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const arm64 = "linux/arm64";
const s390x = "linux/s390x";
const amd64 = "linux/amd64";
const force = true;

describe("several platforms of a pulled name", { skip }, () => {
  let fixture: EngineFixture;
  before(async () => {
    fixture = await EngineFixture.make(testDistribution());
  });
  after(() => fixture[Symbol.asyncDispose]());
  const images = () => fixture.engine.images;

  type Made = ReturnType<typeof publishImage> & { platform: string };
  const make = (registry: FakeRegistry, platform: string): Made => {
    const architecture = platform.slice("linux/".length);
    return { platform, ...publishImage(registry, "a/b", architecture, { architecture }) };
  };
  /** Gives a name to an index of these. */
  const join = (registry: FakeRegistry, tag: string, ...made: Made[]): string => {
    const manifests = made.map(({ manifest, size, platform }) => ({
      mediaType: MANIFEST,
      digest: manifest,
      size,
      platform: { os: "linux", architecture: platform.slice("linux/".length) },
    }));
    registry.putManifest("a/b", tag, { schemaVersion: 2, mediaType: INDEX, manifests }, INDEX);
    return `${registry.host}/a/b:${tag}`;
  };
  const pull = async (name: string, ...platforms: string[]): Promise<void> => {
    for (const platform of platforms) for await (const _ of images().pull(name, { platform }));
  };
  const isHere = async (id: string): Promise<boolean> =>
    (await images().list({ all: true })).some((image) => image.id === id);
  const isDangling = async (id: string): Promise<boolean> => {
    const filters = new Map([["dangling", ["true"]]]);
    return (await images().list({ filters })).some((image) => image.id === id);
  };

  test("those of the index that a name has left are dangling, and pruned", async () => {
    await using registry = await FakeRegistry.listen();
    const [main, old, fresh] = [amd64, arm64, arm64].map((one) => make(registry, one));
    const name = join(registry, "moves", main!, old!);
    await pull(name, arm64, amd64);
    await images().tag(name, `${registry.host}/a/b`, "stays");
    join(registry, "moves", main!, fresh!);
    await pull(name, arm64, amd64);
    assert.equal((await images().inspect(name, { platform: arm64 })).id, fresh!.id);
    assert.equal(await isDangling(old!.id), false, "the other tag stands for it");
    const shown = await images().list({ manifests: true });
    const all = shown.find(({ id }) => id === main!.id)!.manifests!;
    assert.equal(all.filter(({ isHere }) => isHere).length, 2);
    await images().remove(`${registry.host}/a/b:stays`);
    assert.equal(await isHere(old!.id), false, "it has gone with that tag");

    await pull(name, arm64, amd64);
    join(registry, "moves", main!, make(registry, s390x));
    await pull(name, amd64);
    assert.equal(await isDangling(fresh!.id), true);
    await images().prune(new Map());
    assert.equal(await isHere(fresh!.id), false);
    assert.equal((await images().inspect(name)).id, main!.id);
    await images().remove(name);
  });

  test("one of them goes by force, the rest stays, and the name with it", async () => {
    await using registry = await FakeRegistry.listen();
    const made = [s390x, arm64, amd64].map((platform) => make(registry, platform));
    const [s390, arm, main] = made;
    const name = join(registry, "1", ...made);
    await pull(name, s390x, arm64, amd64);
    const other = `${registry.host}/a/b:2`;
    await images().tag(name, `${registry.host}/a/b`, "2");
    await assert.rejects(images().remove(name, { platforms: [arm64] }), {
      kind: "invalid",
      message:
        "Content will be removed from all images referencing this variant. " +
        "Use \u2014-force to force delete.",
    });
    const unknown = { platforms: ["linux/ppc64le"], force };
    await assert.rejects(images().remove(name, unknown), { kind: "not-found" });
    const removed = await images().remove(name, { platforms: [arm64], force });
    assert.deepEqual(removed[0], { Deleted: arm!.id });
    assert.equal(await isHere(arm!.id), false);
    for (const { id } of [s390!, main!]) assert.equal(await isDangling(id), false);

    // The one that has the names: they pass on.
    await images().remove(name, { platforms: [amd64], force });
    assert.equal(await isHere(main!.id), false);
    const left = await images().inspect(name);
    assert.deepEqual([left.id, left.repoTags], [s390!.id, [name, other]]);
    assert.equal(left.repoDigests.length, 1);
    const shown = (await images().list({ manifests: true })).find(({ id }) => id === left.id);
    assert.deepEqual(
      shown!.manifests!.map(({ isHere }) => isHere),
      [true, false, false],
    );
    await pull(name, arm64);
    assert.equal((await images().inspect(name, { platform: s390x })).id, s390!.id);
    await images().remove(other);
    await images().remove(name, { platforms: [s390x, arm64] });
    for (const { id } of made) assert.equal(await isHere(id), false);
  });

  test("one that has a name of its own stays until that goes", async () => {
    await using registry = await FakeRegistry.listen();
    const made = [arm64, amd64].map((platform) => make(registry, platform));
    const name = join(registry, "1", ...made);
    await pull(name, arm64, amd64);
    const own = `${registry.host}/a/b:amd64`;
    await pull(own, amd64);
    const options = { platforms: [amd64], force };
    await assert.rejects(images().remove(name, options), {
      kind: "conflict",
      message: `conflict: unable to delete ${name} - ${own} means this platform alone`,
    });
    assert.deepEqual((await images().inspect(name)).repoTags, [name, own]);
    await images().remove(own);
    assert.equal((await images().inspect(name)).id, made[1]!.id);
    await images().remove(name);
    assert.equal(await isHere(made[0]!.id), false);
  });

  test("a digest that is removed leaves the tag, and the last tag takes its digests", async () => {
    await using registry = await FakeRegistry.listen();
    const { id, manifest } = make(registry, amd64);
    const name = `${registry.host}/a/b:amd64`;
    const digest = `${registry.host}/a/b@${manifest}`;
    await pull(name, amd64);
    assert.deepEqual(await images().remove(digest), [{ Untagged: digest }]);
    assert.deepEqual((await images().inspect(name)).repoTags, [name]);
    await pull(name, amd64);
    await images().tag(name, `${registry.host}/a/b`, "2");
    await assert.rejects(images().remove(id), {
      kind: "conflict",
      message: /\(must be forced\) - image is referenced in multiple repositories$/,
    });
    assert.deepEqual(await images().remove(`${registry.host}/a/b:2`), [
      { Untagged: `${registry.host}/a/b:2` },
    ]);
    const removed = await images().remove(name);
    assert.deepEqual(removed.slice(0, 3), [
      { Untagged: name },
      { Untagged: digest },
      { Deleted: id },
    ]);
  });
});
