// Cache mounts outlive builds: they are listed with their sizes, move from machine to machine, and
// begin with what `from` says. What the build cache holds is listed and pruned by every filter.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import type { BuildJob } from "../../src/engine/build/job.ts";
import type { Engine } from "../../src/index.ts";
import { jobOf } from "../support/build-job.ts";
import { EngineFixture } from "../support/engine-fixture.ts";
import { rawTar } from "../support/raw-tar.ts";
import { bytesOf } from "../support/storage-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());

const build = (engine: Engine, dockerfile: string, o: Partial<BuildJob> = {}) =>
  engine.builds.solve(jobOf(dockerfile, o));

/** A tar of one file. */
const tarOf = (name: string, content: string): Buffer =>
  rawTar({ name, content: Buffer.from(content) });
const textIn = async (tar: AsyncIterable<unknown>) => (await bytesOf(tar)).toString("latin1");

test("a cache mount is imported, listed, exported and removed", async () => {
  const { cacheMounts } = fixture.engine.builds;
  const made = await cacheMounts.import("/root/.cache", Readable.from([tarOf("a", "contents")]));
  assert.deepEqual([made.name, made.size, made.inUse], ["/root/.cache", 8, false]);
  assert.deepEqual(
    (await cacheMounts.list()).map(({ name, size }) => [name, size]),
    [["/root/.cache", 8]],
  );
  assert.match(await textIn(await cacheMounts.export(made.key.slice(0, 12))), /contents/);
  const gzip = await cacheMounts.export("/root/.cache", { compression: "gzip" });
  assert.match(gunzipSync(await bytesOf(gzip)).toString("latin1"), /contents/);
  const zstd = await cacheMounts.export("/root/.cache", { compression: "zstd" });
  assert.match(zstdDecompressSync(await bytesOf(zstd)).toString("latin1"), /contents/);
  // Importing again replaces everything.
  const second = gzipSync(tarOf("b", "other"));
  await cacheMounts.import("/root/.cache", Readable.from([second]));
  const text = await textIn(await cacheMounts.export("/root/.cache"));
  assert.match(text, /other/);
  assert.doesNotMatch(text, /contents/);
  assert.deepEqual(await cacheMounts.remove("/root/.cache"), { spaceReclaimed: 5 });
  assert.deepEqual(await cacheMounts.list(), []);
  await assert.rejects(cacheMounts.find("/root/.cache"), /no such cache mount/);
});

test("an archive that is broken leaves the mount as it was", async () => {
  const { cacheMounts } = fixture.engine.builds;
  await cacheMounts.import("kept", Readable.from([tarOf("a", "contents")]));
  const broken = Readable.from([tarOf("b", "x".repeat(5000)).subarray(0, 2000)]);
  await assert.rejects(cacheMounts.import("kept", broken));
  assert.match(await textIn(await cacheMounts.export("kept")), /contents/);
  await cacheMounts.remove("kept");
});

test("a step finds what was imported, and its mount is measured when it ends", async () => {
  const { cacheMounts } = fixture.engine.builds;
  await cacheMounts.import("id", Readable.from([tarOf("greeting", "hello")]));
  await build(
    fixture.engine,
    `FROM payload
RUN --network=none --mount=type=cache,id=id,target=/cache ["/bin/payload", "cat", "/cache/greeting"]
`,
  );
  const found = await cacheMounts.find("id");
  assert.deepEqual([found.size, found.usageCount], [5, 1]);
  await cacheMounts.remove("id");
});

test("a mount begins with the files of the stage that it is from", async () => {
  const dockerfile = `FROM scratch AS seed
COPY <<EOF /files/seeded
sown
EOF
FROM payload
RUN --network=none \\
  --mount=type=cache,id=grown,target=/cache,from=seed,source=/files \\
  ["/bin/payload", "cat", "/cache/seeded"]
`;
  await build(fixture.engine, dockerfile);
  const { cacheMounts } = fixture.engine.builds;
  assert.match(await textIn(await cacheMounts.export("grown")), /sown/);
  await cacheMounts.remove("grown");
});

test("records name what they stand on, and every filter finds what it says", async () => {
  const { engine } = fixture;
  await engine.builds.prune({ all: true });
  await build(engine, "FROM scratch\nCOPY <<EOF /one\n1\nEOF\nCOPY <<EOF /two\n2\nEOF\n");
  await engine.builds.cacheMounts.import("mount", Readable.from([tarOf("a", "contents")]));
  const rows = (await engine.system.df({ types: ["build-cache"] }))["BuildCache"] as {
    ID: string;
    Parents: string[];
    Type: string;
    Description: string;
    Size: number;
  }[];
  const [one, two] = ["/one", "/two"].map(
    (path) => rows.find(({ Description }) => Description.includes(path))!,
  );
  assert.deepEqual([one!.Parents, two!.Parents], [[], [one!.ID]]);
  const prune = async (filters: Record<string, string[]>) =>
    (await engine.builds.prune({ filters: new Map(Object.entries(filters)), all: true })).deleted;
  assert.deepEqual(await prune({ type: ["source.local"] }), []);
  assert.deepEqual(await prune({ inuse: ["true"] }), []);
  assert.deepEqual(await prune({ "unused-for": ["24h"] }), []);
  assert.deepEqual(await prune({ shared: ["true"] }), []);
  await assert.rejects(prune({ colour: ["blue"] }), /invalid filter 'colour'/);
  await assert.rejects(prune({ until: ["1h"], "unused-for": ["1h"] }), /only one value/);
  assert.deepEqual(await prune({ parent: [one!.ID] }), [two!.ID]);
  assert.deepEqual(await prune({ id: [one!.ID.slice(0, 8)], immutable: [""] }), [one!.ID]);
  assert.equal((await prune({ mutable: ["true"], description: ["mount"] })).length, 1);
  assert.deepEqual(await prune({ private: ["true"] }), []);
});
