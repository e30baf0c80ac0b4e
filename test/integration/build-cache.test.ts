// A build's cache that travels: one machine exports it, another builds with it and runs nothing
// again; and a cache that is broken, or lies, harms no build.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { BuildEvent, BuildJob, BuildOutcome } from "../../src/engine/build/job.ts";
import type { Engine } from "../../src/index.ts";
import { digest, FakeRegistry } from "../fakes/registry.ts";
import { jobOf } from "../support/build-job.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import { rawTar } from "../support/raw-tar.ts";

const DOCKERFILE = `FROM payload AS made
WORKDIR /place
COPY one /place/one
FROM scratch
COPY two /two
COPY --from=made /place/one /copied
`;

let maker: EngineFixture;
/** A machine without a cache of its own at the beginning of each test that uses it. */
let other: EngineFixture;
let context: string;
let registry: FakeRegistry;
before(async () => {
  [maker, other] = await Promise.all([EngineFixture.make(), EngineFixture.make()]);
  context = await mkdtemp(join(tmpdir(), "gantry-context-"));
  writeFileSync(join(context, "one"), "first");
  writeFileSync(join(context, "two"), "second".repeat(50_000));
});
beforeEach(async () => {
  registry = await FakeRegistry.listen();
});
afterEach(() => registry[Symbol.asyncDispose]());
after(async () => {
  await maker[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await rm(context, { recursive: true, force: true });
});

interface Told {
  outcome: BuildOutcome;
  events: BuildEvent[];
  /** Labels of steps that were found, and of those that ran. */
  cached: string[];
  ran: string[];
}

async function build(engine: Engine, changes: Partial<BuildJob> = {}): Promise<Told> {
  const events: BuildEvent[] = [];
  const job = jobOf(DOCKERFILE, {
    contexts: new Map([["", { kind: "folder", path: context }]]),
    ...changes,
  });
  const outcome = await engine.builds.solve(job, { tell: (event) => events.push(event) });
  const steps = outcome.images.flatMap((image) => image.steps);
  const named = (cached: boolean) => [
    ...new Set(steps.filter((step) => step.cached === cached).map(({ name }) => name)),
  ];
  return { outcome, events, cached: named(true), ran: named(false) };
}

const warnings = ({ outcome }: Told) => outcome.warnings.map(({ short }) => short).join("\n");

function place(tag = "latest"): { type: string; attrs: Record<string, string> } {
  return { type: "registry", attrs: { ref: `${registry.host}/team/cache:${tag}` } };
}
const withAttrs = (attrs: Record<string, string>) => {
  const { type, attrs: own } = place();
  return { type, attrs: { ...own, ...attrs } };
};

for (const shape of [
  {},
  { "image-manifest": "false" },
  { "oci-mediatypes": "false", "image-manifest": "false" },
  { compression: "zstd", "force-compression": "true", "compression-level": "5" },
] as Record<string, string>[]) {
  test(`another machine builds with an exported cache ${JSON.stringify(shape)}`, async () => {
    const made = await build(maker.engine, { cacheTo: [withAttrs({ mode: "max", ...shape })] });
    assert.match(made.outcome.metadata["cache.manifest"] ?? "", /"digest":"sha256:/);
    await other.engine.builds.prune({ all: true });
    const again = await build(other.engine, { cacheFrom: [place()] });
    assert.deepEqual(again.ran, []);
    assert.equal(again.outcome.images[0]!.id, made.outcome.images[0]!.id);
    assert.equal(warnings(again), "");
    const reads = registry.reads.length;
    // What was imported is in its own store now.
    assert.deepEqual((await build(other.engine)).ran, []);
    assert.equal(registry.reads.length, reads);
  });
}

test("layers of a cache are fetched only for steps that are built", async () => {
  await build(maker.engine, { cacheTo: [withAttrs({ mode: "max" })] });
  await other.engine.builds.prune({ all: true });
  const dockerfile = { text: Buffer.from("FROM scratch\nCOPY two /two\n"), name: "Dockerfile" };
  const again = await build(other.engine, { dockerfile, cacheFrom: [place()] });
  assert.deepEqual(again.ran, []);
  const fetched = registry.reads.filter(({ blob }) => isLayer(blob));
  assert.equal(fetched.length, 1);
});

test("an image carries the cache of its own layers", async () => {
  const push = {
    type: "image",
    exporter: "0",
    attrs: { name: `${registry.host}/app`, push: "true" },
  };
  const made = await build(maker.engine, {
    cacheTo: [{ type: "inline", attrs: {} }],
    outputs: [push],
  });
  assert.match(Buffer.from(made.outcome.images[0]!.config).toString(), /moby\.buildkit\.cache\.v0/);
  await other.engine.builds.prune({ all: true });
  const ref = { type: "registry", attrs: { ref: `${registry.host}/app` } };
  const again = await build(other.engine, { cacheFrom: [ref] });
  // The first stage is no part of the image: its COPY runs, and WORKDIR made nothing before either.
  assert.deepEqual(again.cached.length, 2);
  assert.equal(again.ran.length, 2);
  assert.deepEqual(again.outcome.images[0]!.layers, made.outcome.images[0]!.layers);
});

test("the client's folder keeps a cache", async () => {
  const blobs = new Map<string, Buffer>();
  const session = { contentStore: () => storeOf(blobs) } as unknown as NonNullable<
    BuildJob["session"]
  >;
  const to = { type: "local", attrs: { dest: "/cache", mode: "max" } };
  const made = await build(maker.engine, { session, cacheTo: [to] });
  const manifest = JSON.parse(made.outcome.metadata["cache.manifest"]!) as { digest: string };
  for (const [name, bytes] of blobs) assert.equal(digest(bytes), name);
  await other.engine.builds.prune({ all: true });
  const from = { type: "local", attrs: { src: "/cache", digest: manifest.digest } };
  const again = await build(other.engine, { session, cacheFrom: [from] });
  assert.deepEqual(again.ran, []);
});

test("a cache that is not there is a warning", async () => {
  const dockerfile = { text: Buffer.from("FROM scratch\nCOPY one /1\n"), name: "Dockerfile" };
  const told = await build(maker.engine, { dockerfile, cacheFrom: [place("missing")] });
  assert.match(warnings(told), /cache of .*missing is not used/);
});

// biome-ignore lint/suspicious/noExplicitAny: JSON that is made wrong
type Config = any;
/** Changes the JSON of what the manifest names as its config. */
function forge(change: (config: Config) => void): void {
  const tag = [...registry.manifests.keys()].find((name) => name.endsWith("latest"))!;
  const manifest = JSON.parse(registry.manifests.get(tag)!.raw.toString());
  const config = JSON.parse(registry.blobs.get(manifest.config.digest)!.toString());
  change(config);
  const raw = Buffer.from(JSON.stringify(config));
  registry.blobs.set(digest(raw), raw);
  manifest.config = { ...manifest.config, digest: digest(raw), size: raw.length };
  registry.links.add(`team/cache ${digest(raw)}`);
  const type = registry.manifests.get(tag)!.type;
  registry.manifests.set(tag, { raw: Buffer.from(JSON.stringify(manifest)), type });
}

for (const [what, change] of [
  ["has other content than its diff id", (config) => swapDiffIds(config.layers)],
  ["names layers that are not there", (config) => (config.records[0].layers = [{ layer: 99 }])],
  ["is no cache config", (config) => delete config.layers && (config.records = "text")],
  ["has times that are none", (config) => (config.records.at(-1).layers[0].createdAt = "never")],
  ["leads in circles", (config) => (config.records[0].inputs = [[{ link: 0 }]])],
] as [string, (config: Config) => void][]) {
  test(`a cache that ${what} harms no build`, async () => {
    const made = await build(maker.engine, { cacheTo: [withAttrs({ mode: "max" })] });
    forge(change);
    await other.engine.builds.prune({ all: true });
    const again = await build(other.engine, { cacheFrom: [place()] });
    const layers = again.outcome.images[0]!.layers;
    assert.equal(layers.length, made.outcome.images[0]!.layers.length);
    for (const layer of layers) assert(made.outcome.images[0]!.layers.includes(layer));
  });
}

test("what cannot be exported fails the build, unless that is to be ignored", async () => {
  const nowhere = { ref: "127.0.0.1:1/team/cache" };
  const to = (attrs: Record<string, string>) => [{ type: "registry", attrs }];
  await assert.rejects(build(maker.engine, { cacheTo: to(nowhere) }));
  const ignored = await build(maker.engine, {
    cacheTo: to({ ...nowhere, "ignore-error": "true" }),
  });
  assert.match(warnings(ignored), /cache was not exported/);
});

test("what is not supported is refused before anything is built", async () => {
  const refused = async (changes: Partial<BuildJob>, message: RegExp) =>
    await assert.rejects(build(maker.engine, changes), message);
  const of = (type: string, attrs = {}) => [{ type, attrs }];
  await refused({ cacheTo: of("gha") }, /GitHub's cache service is not supported/);
  await refused({ cacheFrom: of("s3") }, /S3 is not supported/);
  await refused({ cacheTo: of("azblob") }, /Azure blob storage is not supported/);
  await refused({ cacheTo: of("registry") }, /needs ref=/);
  await refused({ cacheTo: [withAttrs({ mode: "some" })] }, /invalid mode "some"/);
  await refused({ cacheTo: [withAttrs({ compression: "xz" })] }, /unsupported compression xz/);
  await refused({ cacheTo: [withAttrs({ colour: "blue" })] }, /has no colour/);
});

function swapDiffIds(layers: { annotations: { diffID: string } }[]): void {
  const [first, second] = layers;
  const { diffID } = first!.annotations;
  first!.annotations.diffID = second!.annotations.diffID;
  second!.annotations.diffID = diffID;
}

function isLayer(blob: string): boolean {
  const bytes = registry.blobs.get(blob);
  return bytes !== undefined && bytes[0] === 0x1f;
}

/** What a client's content store does. */
function storeOf(blobs: Map<string, Buffer>) {
  return {
    size: async (name: string) => blobs.get(name)?.length,
    read: async function* (name: string) {
      const found = blobs.get(name);
      if (!found) throw new Error(`${name}: not found`);
      yield found;
    },
    write: async (blob: { digest: string }, bytes: AsyncIterable<Uint8Array>) => {
      blobs.set(blob.digest, Buffer.concat(await Array.fromAsync(bytes)));
    },
  };
}

test("the classic door finds steps in the images that it is told of", async () => {
  const text = "FROM scratch\nCOPY <<EOF /one\n1\nEOF\n";
  const name = `${registry.host}/classic`;
  const push = { type: "image", exporter: "0", attrs: { name, push: "true" } };
  const dockerfile = { text: Buffer.from(text), name: "Dockerfile" };
  const buildArgs = { BUILDKIT_INLINE_CACHE: "1" };
  await build(maker.engine, { dockerfile, buildArgs, outputs: [push] });
  await other.engine.builds.prune({ all: true });
  const told: string[] = [];
  const messages = other.engine.builds.build({
    context: Readable.from([rawTar({ name: "Dockerfile", content: text })]),
    ...{ dockerfile: "Dockerfile", tags: [], buildArgs: {}, labels: {}, pull: false },
    ...{ noCache: false, quiet: false, remove: true, squash: false, hostConfig: {} },
    ...{ credentials: {}, cacheFrom: [name, `${registry.host}/nowhere`] },
  });
  for await (const { stream } of messages) told.push(String(stream ?? ""));
  assert.match(told.join(""), /Using cache/);
  assert.match(told.join(""), /\[Warning\] cache of .*nowhere is not used/);
});
