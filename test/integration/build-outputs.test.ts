// What comes out of builds: images in the store and at registries, archives and folders at the
// client, attestations, the same bytes twice.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, afterEach, before, describe, test } from "node:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type { BuildJob } from "../../src/engine/index.ts";
import { digest, FakeRegistry } from "../fakes/registry.ts";
import { jobOf } from "../support/build-job.ts";
import { build, json, outputs, partsOf, readTar, TakingSession } from "../support/build-outputs.ts";
import { EngineFixture } from "../support/engine-fixture.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const FILE = 'FROM payload\nRUN ["/bin/mkdir","/made"]\nWORKDIR /w\nCOPY <<EOT /w/x\nhello\nEOT\n';
const BOTH = [
  { os: "linux", architecture: "amd64" },
  { os: "linux", architecture: "arm64" },
];
const SCRATCH = "FROM scratch\nARG TARGETARCH\nCOPY <<EOT /arch\n$TARGETARCH\nEOT\n";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

describe("outputs of builds", { skip }, () => {
  let fixture: EngineFixture;
  const open: FakeRegistry[] = [];
  before(async () => {
    fixture = await EngineFixture.make();
  });
  after(() => fixture[Symbol.asyncDispose]());
  afterEach(async () => {
    for (const registry of open.splice(0)) await registry[Symbol.asyncDispose]();
  });
  async function listen(): Promise<FakeRegistry> {
    const registry = await FakeRegistry.listen();
    open.push(registry);
    return registry;
  }
  const run = (dockerfile: string, o: Partial<BuildJob>) =>
    build(fixture.engine, jobOf(dockerfile, o));
  /** Builds for a client that takes files. */
  async function taking(dockerfile: string, o: Partial<BuildJob>) {
    const client = new TakingSession();
    const built = await run(dockerfile, { ...o, session: client.session });
    return { ...built, client };
  }
  const inspect = (name: string) => fixture.engine.images.inspect(name);

  test("an image goes into the store under its names, and nothing is compressed for it", async () => {
    const tags: string[] = [];
    const { metadata, events } = await run(FILE, {
      outputs: outputs(["moby", { name: "kept:1,example.com/kept" }]),
    });
    const image = await inspect("kept:1");
    assert.deepEqual(image.repoTags, ["example.com/kept:latest", "kept:1"]);
    assert.deepEqual(metadata, {
      "containerimage.config.digest": image.id,
      "containerimage.digest": image.id,
      "image.name": "docker.io/library/kept:1,example.com/kept:latest",
    });
    for (const part of partsOf(events)) tags.push(part);
    assert.ok(tags.includes("exporting layers"));
    assert.ok(tags.includes(`writing image ${image.id}`));
    assert.ok(tags.includes("naming to docker.io/library/kept:1"));
    assert.equal(image.manifest, undefined);
  });

  test("a push brings the very manifest that the build tells", async () => {
    const registry = await listen();
    const name = `${registry.host}/team/app:1`;
    const { metadata, events } = await run(FILE, {
      outputs: outputs(["image", { name, push: "true" }]),
    });
    const stored = registry.manifests.get("team/app 1");
    assert.equal(stored?.type, DOCKER_MANIFEST);
    assert.equal(digest(stored.raw), metadata["containerimage.digest"]);
    const { layers, config } = json(stored.raw);
    assert.equal(config.digest, metadata["containerimage.config.digest"]);
    const { rootfs } = json(registry.blobs.get(config.digest));
    for (const [at, layer] of layers.entries()) {
      const tar = gunzipSync(registry.blobs.get(layer.digest)!);
      assert.equal(digest(tar), rootfs.diff_ids[at]);
    }
    const descriptor = json(Buffer.from(metadata["containerimage.descriptor"]!, "base64"));
    assert.equal(descriptor.digest, metadata["containerimage.digest"]);
    assert.equal(descriptor.size, stored.raw.length);
    const parts = partsOf(events);
    assert.ok(parts.includes("pushing layers"));
    assert.ok(parts.includes(`pushing manifest for ${name}@${descriptor.digest}`));
    assert.deepEqual((await inspect(name)).repoDigests, [
      `${registry.host}/team/app@${descriptor.digest}`,
    ]);
  });

  test("a push goes in the name of whoever builds", async () => {
    const user = { name: "ada", password: "secret" };
    const registry = await FakeRegistry.listen({ user });
    open.push(registry);
    const push = { name: `${registry.host}/own:1`, push: "true" };
    await assert.rejects(run(FILE, { outputs: outputs(["image", push]) }), {
      kind: "unauthorized",
      message: /^failed to push 127\.0\.0\.1:\d+\/own:1: /,
    });
    const asked: string[] = [];
    await run(FILE, {
      outputs: outputs(["image", push]),
      credentials: async (host) => {
        asked.push(host);
        return { username: user.name, password: user.password };
      },
    });
    assert.ok(registry.manifests.has("own 1"));
    assert.deepEqual([...new Set(asked)], [registry.host]);
  });

  test("a client that goes away ends what is sent, and what was made for it goes", async () => {
    const client = new TakingSession();
    const sendFile = async (_output: unknown, bytes: AsyncIterable<Uint8Array>) => {
      for await (const _ of bytes) throw new Error("gone");
    };
    const session = { ...client.session, sendFile };
    const blobs = async () => (await readdir(join(fixture.root, "data/blobs/sha256"))).sort();
    const dockerfile = `${FILE}RUN ["/bin/append","/only-here","x"]\n`;
    await run(dockerfile, { outputs: outputs(["image", { name: "stays" }]) });
    const before = await blobs();
    const job = { session, outputs: outputs(["oci", { compression: "zstd" }]) };
    await assert.rejects(run(dockerfile, job), /gone/);
    assert.deepEqual(await blobs(), before);
  });

  test("push-by-digest gives no tag, and store=false leaves nothing here", async () => {
    const registry = await listen();
    const name = `${registry.host}/team/bare`;
    const attrs = { name, push: "true", "push-by-digest": "true", store: "false" };
    const { metadata } = await run(`${FILE}LABEL only=there\n`, {
      outputs: outputs(["image", attrs]),
    });
    const top = metadata["containerimage.digest"];
    assert.deepEqual([...registry.manifests.keys()], [`team/bare ${top}`]);
    await assert.rejects(inspect(name), { kind: "not-found" });
    await assert.rejects(inspect(metadata["containerimage.config.digest"]!), { kind: "not-found" });
  });

  test("layers are compressed as asked, those of the base only by force", async () => {
    const registry = await listen();
    const at = (tag: string) => `${registry.host}/forms:${tag}`;
    // The base is known as gzip from now on.
    await run(FILE, { outputs: outputs(["image", { name: at("gz"), push: "true" }]) });
    const zstd = { push: "true", compression: "zstd", "compression-level": "9" };
    await run(FILE, { outputs: outputs(["image", { ...zstd, name: at("z") }]) });
    const force = { ...zstd, "force-compression": "true" };
    await run(FILE, { outputs: outputs(["image", { ...force, name: at("zz") }]) });
    const plain = { push: "true", compression: "uncompressed", "force-compression": "true" };
    await run(FILE, { outputs: outputs(["image", { ...plain, name: at("u") }]) });
    const types = (tag: string): string[] =>
      json(registry.manifests.get(`forms ${tag}`)?.raw).layers.map(
        ({ mediaType }: { mediaType: string }) => mediaType.replace(/^.*\.tar/, "tar"),
      );
    assert.deepEqual(types("gz"), ["tar.gzip", "tar.gzip", "tar.gzip", "tar.gzip"]);
    assert.deepEqual(types("z"), ["tar+gzip", "tar+zstd", "tar+zstd", "tar+zstd"]);
    assert.deepEqual(types("zz"), ["tar+zstd", "tar+zstd", "tar+zstd", "tar+zstd"]);
    assert.deepEqual(types("u"), ["tar", "tar", "tar", "tar"]);
    const { layers, config } = json(registry.manifests.get("forms zz")?.raw);
    const { rootfs } = json(registry.blobs.get(config.digest));
    const tar = zstdDecompressSync(registry.blobs.get(layers[0].digest)!);
    assert.equal(digest(tar), rootfs.diff_ids[0]);
  });

  test("several platforms are one index, here and at the registry", async () => {
    const registry = await listen();
    const name = `${registry.host}/multi:1`;
    const { metadata, images } = await run(SCRATCH, {
      platforms: BOTH,
      outputs: outputs(["image", { name, push: "true" }]),
    });
    const stored = registry.manifests.get("multi 1");
    assert.equal(stored?.type, DOCKER_LIST);
    assert.equal(digest(stored.raw), metadata["containerimage.digest"]);
    const { manifests } = json(stored.raw);
    assert.deepEqual(
      manifests.map(({ platform }: { platform: object }) => platform),
      BOTH.map(({ os, architecture }) => ({ architecture, os })),
    );
    for (const entry of manifests) assert.ok(registry.manifests.has(`multi ${entry.digest}`));
    const host = images.find(({ id }) => id === metadata["containerimage.config.digest"]);
    assert.equal(host, undefined, "an index has no config");
    const image = await inspect(name);
    assert.equal(image.config.architecture, process.arch === "arm64" ? "arm64" : "amd64");
    const foreign = image.config.architecture === "amd64" ? "arm64" : "amd64";
    const asked = await fixture.engine.images.inspect(name, { platform: `linux/${foreign}` });
    assert.equal(asked.config.architecture, foreign);
    // The other platform goes with the name, and is nothing that prune would take.
    const all = () => fixture.engine.images.list({ all: true });
    const other = images.find(({ id }) => id !== image.id)!;
    const shown = (await fixture.engine.images.list()).map(({ id }) => id);
    assert.ok(shown.includes(image.id) && !shown.includes(other.id));
    await fixture.engine.images.prune(new Map([["dangling", ["true"]]]));
    assert.ok((await all()).some(({ id }) => id === other.id));
    assert.equal((await inspect(metadata["containerimage.digest"]!)).id, image.id);
    await fixture.engine.images.remove(name);
    assert.ok((await all()).every(({ id }) => id !== other.id && id !== image.id));
  });

  test("an index is saved and loaded whole, with its attestations", async () => {
    const { metadata } = await run(SCRATCH, {
      platforms: BOTH,
      outputs: outputs(["image", { name: "carried:1" }]),
      attest: new Map([["provenance", { mode: "max" }]]),
    });
    const archive = async () =>
      Buffer.concat(await Array.fromAsync(await fixture.engine.images.save(["carried:1"])));
    const saved = await archive();
    const files = await readTar(saved);
    const [entry] = json(files.get("index.json")?.content).manifests;
    assert.equal(entry.digest, metadata["containerimage.digest"]);
    assert.equal(json(files.get("manifest.json")?.content).length, 1);
    await fixture.engine.images.remove("carried:1");
    const from = Readable.from([saved], { objectMode: false });
    const told: string[] = [];
    for await (const { stream } of fixture.engine.images.load(from)) told.push(String(stream));
    assert.deepEqual(told, ["Loaded image: carried:1\n"]);
    const host = process.arch === "arm64" ? "arm64" : "amd64";
    assert.equal((await inspect("carried:1")).config.architecture, host);
    assert.ok((await archive()).equals(saved));
    // One platform of it goes without the index.
    const platform = [`linux/${host}`];
    const one = await fixture.engine.images.save(["carried:1"], { platform });
    const alone = await readTar(Buffer.concat(await Array.fromAsync(one)));
    assert.notEqual(json(alone.get("index.json")?.content).manifests[0].digest, entry.digest);
    await fixture.engine.images.remove("carried:1");
  });

  test("built again, a name lets go of the index that it stood for", async () => {
    const again = () =>
      run(SCRATCH, {
        platforms: BOTH,
        outputs: outputs(["image", { name: "again:1" }]),
        attest: new Map([["provenance", { mode: "max" }]]),
      });
    const first = await again();
    const count = async () => (await readdir(blobs)).length;
    const blobs = join(fixture.root, "data/blobs/sha256");
    const before = await count();
    const second = await again();
    assert.notEqual(
      first.metadata["containerimage.digest"],
      second.metadata["containerimage.digest"],
    );
    assert.equal(await count(), before);
    const old = first.metadata["containerimage.digest"]!;
    await assert.rejects(inspect(old), { kind: "not-found" });
    assert.ok((await inspect(second.metadata["containerimage.digest"]!)).id);
    await fixture.engine.images.remove("again:1");
  });

  test("annotations stand where they were asked for, and make it an OCI image", async () => {
    const registry = await listen();
    const attrs = {
      name: `${registry.host}/notes:1`,
      push: "true",
      "annotation.a": "every manifest",
      "annotation[linux/arm64].a": "only there",
      "annotation-manifest-descriptor[linux/amd64].b": "2",
      "annotation-index.c": "3",
    };
    await run(SCRATCH, { platforms: BOTH, outputs: outputs(["image", attrs]) });
    const index = json(registry.manifests.get("notes 1")?.raw);
    assert.equal(index.mediaType, OCI_INDEX);
    assert.deepEqual(index.annotations, { c: "3" });
    assert.deepEqual(
      index.manifests.map(({ annotations }: { annotations: object }) => annotations),
      [{ b: "2" }, undefined],
    );
    const notes = index.manifests.map(
      (one: { digest: string }) =>
        json(registry.manifests.get(`notes ${one.digest}`)?.raw).annotations,
    );
    assert.deepEqual(notes, [{ a: "every manifest" }, { a: "only there" }]);
    const single = { name: "notes", "annotation-index.c": "3" };
    await assert.rejects(run(SCRATCH, { outputs: outputs(["image", single]) }), {
      message: "index annotations not supported for single platform export",
    });
  });

  test("an OCI layout goes to the client as a tar, or as blobs into its folder", async () => {
    const { client, metadata } = await taking(FILE, {
      buildArgs: { SOURCE_DATE_EPOCH: "1000000000" },
      outputs: outputs(["oci", { name: "laid:1" }], ["oci", { tar: "false" }]),
    });
    const files = await readTar(client.files.get("0")!);
    assert.deepEqual(json(files.get("oci-layout")?.content), { imageLayoutVersion: "1.0.0" });
    const [entry] = json(files.get("index.json")?.content).manifests;
    assert.deepEqual(entry.annotations, {
      "io.containerd.image.name": "docker.io/library/laid:1",
      "org.opencontainers.image.ref.name": "1",
      "org.opencontainers.image.created": "2001-09-09T01:46:40Z",
    });
    assert.equal(files.has("manifest.json"), false);
    const blobs = [...files].filter(([name]) => /^blobs\/sha256\/./.test(name));
    for (const [name, { content }] of blobs) {
      assert.equal(
        digest(Buffer.from(content, "latin1")),
        name.replace("blobs/sha256/", "sha256:"),
      );
    }
    const manifest = json(files.get(`blobs/sha256/${entry.digest.slice(7)}`)?.content);
    const named = [manifest.config, ...manifest.layers].map((one) => one.digest);
    assert.deepEqual(
      new Set(client.blobs.keys()),
      new Set([...named, entry.digest].map((one) => `export ${one}`)),
    );
    assert.equal(metadata["containerimage.digest"], entry.digest);
  });

  test("a docker archive can be loaded again", async () => {
    const { client, metadata } = await taking(FILE, {
      outputs: outputs(["docker", { name: "archived:1" }]),
    });
    const files = await readTar(client.files.get("0")!);
    const [image] = json(files.get("manifest.json")?.content);
    assert.deepEqual(image.RepoTags, ["archived:1"]);
    const archive = Readable.from([client.files.get("0")!], { objectMode: false });
    for await (const _ of fixture.engine.images.load(archive));
    assert.equal((await inspect("archived:1")).id, metadata["containerimage.config.digest"]);
  });

  test("a folder has the files of the result, its hard links and its statements", async () => {
    const { client } = await taking(FILE, {
      outputs: outputs(["local", { "attestation-prefix": "x-" }]),
      attest: new Map([["provenance", { mode: "min" }]]),
    });
    const files = client.folders.get("0")!;
    assert.equal(files.get("w/x")?.content, "hello\n");
    assert.ok(files.has("made"));
    const links = [...files.values()].filter(({ linkname }) => linkname?.startsWith("bin/"));
    assert.ok(links.length > 5);
    const { subject, predicateType } = json(files.get("x-provenance.json")?.content);
    assert.equal(predicateType, "https://slsa.dev/provenance/v0.2");
    const told = subject.find(({ name }: { name: string }) => name === "w/x");
    assert.equal(told.digest.sha256, digest("hello\n").slice(7));
  });

  test("files of several platforms have folders of their own", async () => {
    const { client } = await taking(SCRATCH, {
      platforms: BOTH,
      outputs: outputs(["local"], ["tar"]),
      buildArgs: { SOURCE_DATE_EPOCH: "1000000000" },
    });
    assert.deepEqual(
      [...client.folders.get("0")!].map(([path, { content }]) => [path, content]),
      [
        ["linux_amd64", ""],
        ["linux_amd64/arch", "amd64\n"],
        ["linux_arm64", ""],
        ["linux_arm64/arch", "arm64\n"],
      ],
    );
    const files = await readTar(client.files.get("1")!);
    assert.deepEqual([...files.keys()], [...client.folders.get("0")!.keys()]);
    for (const { mtime } of files.values()) assert.equal(mtime, 1_000_000_000);
    const merged = { platforms: BOTH, outputs: outputs(["local", { "platform-split": "false" }]) };
    await assert.rejects(taking(SCRATCH, merged), { message: /^cannot overwrite arch from / });
  });

  test("attestations lie beside the image that they are about", async () => {
    const registry = await listen();
    const dockerfile = `FROM payload
COPY <<EOT /etc/os-release
ID=debian
VERSION_ID="12"
EOT
COPY <<EOT /var/lib/dpkg/status
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Version: 1
EOT
`;
    await run(dockerfile, {
      outputs: outputs(["image", { name: `${registry.host}/said:1`, push: "true" }]),
      buildArgs: { TOKEN: "do not tell", SOURCE_DATE_EPOCH: "1000000000" },
      attest: new Map<string, Record<string, string>>([
        ["provenance", { mode: "min", version: "v1", "builder-id": "https://example.com/me" }],
        ["sbom", {}],
      ]),
    });
    const index = json(registry.manifests.get("said 1")?.raw);
    const [image, beside] = index.manifests;
    assert.deepEqual(beside.platform, { architecture: "unknown", os: "unknown" });
    assert.deepEqual(beside.annotations, {
      "vnd.docker.reference.digest": image.digest,
      "vnd.docker.reference.type": "attestation-manifest",
    });
    const { layers, config } = json(registry.manifests.get(`said ${beside.digest}`)?.raw);
    assert.ok(registry.blobs.has(config.digest));
    const statements = layers.map(({ digest: name }: { digest: string }) =>
      json(registry.blobs.get(name)),
    );
    for (const { subject } of statements) {
      const [{ name, digest: told }] = subject;
      assert.equal(name, `pkg:docker/${registry.host}/said@1?platform=linux%2Famd64`);
      assert.equal(`sha256:${told.sha256}`, image.digest);
    }
    const [sbom, provenance] = statements;
    const found = sbom.predicate.packages.map(
      ({ externalRefs }: { externalRefs?: { referenceLocator: string }[] }) =>
        externalRefs?.[0]?.referenceLocator,
    );
    assert.deepEqual(found.slice(1), [
      "pkg:deb/debian/bash@5.2.15-2+b7?arch=amd64&distro=debian-12",
    ]);
    assert.equal(provenance.predicateType, "https://slsa.dev/provenance/v1");
    assert.equal(provenance.predicate.runDetails.builder.id, "https://example.com/me");
    assert.doesNotMatch(JSON.stringify(provenance), /do not tell/);
    const [base] = provenance.predicate.buildDefinition.resolvedDependencies;
    assert.match(base.uri, /^pkg:docker\/payload@latest/);
    // What is stored here is whole: it goes on as it is.
    const again = await listen();
    await fixture.engine.images.tag(`${registry.host}/said:1`, `${again.host}/r`, "2");
    for await (const _ of fixture.engine.images.push(`${again.host}/r`, { tag: "2" }));
    assert.deepEqual(json(again.manifests.get("r 2")?.raw), index);
    assert.ok(again.manifests.has(`r ${beside.digest}`));
  });

  test("provenance that is only to go along makes no index of an image that stays here", async () => {
    const { metadata } = await run(FILE, {
      outputs: outputs(["moby", { name: "plain" }]),
      attest: new Map([["provenance", { mode: "min", "inline-only": "true" }]]),
    });
    assert.equal(metadata["containerimage.digest"], metadata["containerimage.config.digest"]);
  });

  test("what no exporter can do is refused before anything is built", async () => {
    const session = new TakingSession().session;
    const refused: [Partial<BuildJob>, RegExp][] = [
      [{ outputs: outputs(["zip"]) }, /exporter "zip" could not be found: one of image,/],
      [{ outputs: outputs(["image", { nme: "x" }]) }, /has no attribute "nme": one of name,/],
      [{ outputs: outputs(["local", { name: "x" }]) }, /has no attribute "name": one of dest,/],
      [{ outputs: outputs(["image", { push: "true" }]) }, /tag is needed when pushing/],
      [{ outputs: outputs(["image", { push: "perhaps" }]) }, /non-bool value specified for push/],
      [{ outputs: outputs(["image", { compression: "estargz" }]) }, /estargz is not supported/],
      [{ outputs: outputs(["image", { "compression-level": "10" }]) }, /gzip: 0 to 9/],
      [{ outputs: outputs(["image", { "annotation-x.y": "" }]) }, /unrecognized annotation type x/],
      [{ outputs: outputs(["image", { "rewrite-timestamp": "true" }]) }, /needs SOURCE_DATE_EPOCH/],
      [
        { buildArgs: { SOURCE_DATE_EPOCH: "x" }, outputs: outputs(["image"]) },
        /no number of seconds/,
      ],
      [{ outputs: outputs(["docker"]), platforms: BOTH, session }, /manifest lists/],
      [{ attest: new Map([["sbom", { generator: "x" }]]) }, /generator x is not supported/],
      [{ attest: new Map([["provenance", { mode: "mid" }]]) }, /one of min, max/],
      [{ attest: new Map([["poem", {}]]) }, /one of provenance, sbom/],
    ];
    for (const [o, message] of refused) await assert.rejects(run("FROM nowhere", o), { message });
  });

  test("two engines make one digest of the same inputs", async () => {
    await using other = await EngineFixture.make();
    const [first, second] = [await listen(), await listen()];
    const dockerfile = `${FILE}RUN ["/bin/seq","append /w/x more","mkdir /w/sub"]\n`;
    const attrs = { push: "true", "rewrite-timestamp": "true" };
    const common = { buildArgs: { SOURCE_DATE_EPOCH: "1000000000" }, noCache: true };
    const base = async (engine: EngineFixture["engine"]) =>
      (await engine.images.inspect("payload")).id;
    const made: Record<string, string>[] = [];
    for (const [engine, registry] of [
      [fixture.engine, first],
      [other.engine, second],
    ] as const) {
      // The same base, byte by byte: an import has a time of its own.
      const from = await base(fixture.engine);
      if (engine !== fixture.engine) {
        const archive = await fixture.engine.images.save([from]);
        for await (const _ of engine.images.load(archive));
        await engine.images.tag(from, "payload", "latest");
      }
      const name = `${registry.host}/same:1`;
      const { metadata } = await build(
        engine,
        jobOf(dockerfile, { ...common, outputs: outputs(["image", { ...attrs, name }]) }),
      );
      made.push(metadata);
    }
    const [a, b] = made;
    assert.equal(a!["containerimage.digest"], b!["containerimage.digest"]);
    assert.deepEqual(first.manifests.get("same 1")?.raw, second.manifests.get("same 1")?.raw);
    const { layers, config } = json(first.manifests.get("same 1")?.raw);
    const { history, created } = json(first.blobs.get(config.digest));
    assert.equal(Date.parse(created), 1_000_000_000_000);
    for (const entry of history.slice(1)) assert.equal(Date.parse(entry.created), 1e12);
    for (const { digest: name } of layers.slice(1)) {
      const files = await readTar(gunzipSync(first.blobs.get(name)!));
      for (const [path, { mtime }] of files) assert.ok(mtime <= 1_000_000_000, path);
    }
  });
});
