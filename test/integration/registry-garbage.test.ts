// The registry's garbage collection: what is not wanted goes, what is wanted stays, and what is
// being pushed meanwhile is never lost, whoever collects over the same store.

import assert from "node:assert/strict";
import { mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  collectGarbage,
  createContent,
  createRegistry,
  type ObjectStore,
  openFileStore,
  type RegistryContent,
  RegistryError,
} from "../../src/registry/index.ts";
import {
  type Bytes,
  bytesOf,
  descriptor,
  imageOf,
  OCI_INDEX,
  OCI_MANIFEST,
  pullWhole,
  randomLayer,
  upload,
} from "../support/registry-content.ts";

const HOUR_MS = 3600 * 1000;
const collect = { graceMs: HOUR_MS };

async function place(): Promise<{
  root: string;
  store: Awaited<ReturnType<typeof openFileStore>>;
  content: RegistryContent;
  /** As if everything had been written two hours earlier. */
  age(): Promise<void>;
  blobs(): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const root = await mkdtemp(join(tmpdir(), "gantry-garbage-"));
  const store = await openFileStore(root);
  const count = async (folder: string) => {
    let objects = 0;
    for await (const _ of store.walk(folder)) objects++;
    return objects;
  };
  return {
    root,
    store,
    content: createContent(store, { renewAfterMs: HOUR_MS / 4 }),
    age: async () => {
      const old = new Date(Date.now() - 2 * HOUR_MS);
      for await (const { path } of store.walk("")) await utimes(join(root, path), old, old);
    },
    blobs: () => count("docker/registry/v2/blobs"),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

async function push(
  content: RegistryContent,
  name: string,
  layers: Bytes[],
  tags: string[],
  extra: object = {},
): Promise<string> {
  const { config, manifest } = imageOf(layers, extra);
  for (const blob of [config, ...layers]) await upload(content, name, blob);
  const raw = manifest.data;
  await content.putManifest(name, { raw, mediaType: OCI_MANIFEST, tags });
  return manifest.digest;
}

test("what a deleted manifest alone had goes in two runs, what others share stays", async () => {
  await using at = await place();
  const [shared, alone] = [randomLayer(), randomLayer()];
  const kept = await push(at.content, "team/kept", [shared], ["v1"]);
  const gone = await push(at.content, "team/gone", [shared, alone], ["v1"]);
  await at.content.deleteManifest("team/gone", gone);
  assert.equal((await collectGarbage(at.store, collect)).quarantined.objects, 0, "too young");
  await at.age();
  const first = await collectGarbage(at.store, collect);
  assert.deepEqual([first.quarantined.objects > 0, first.removed.objects], [true, 0]);
  await at.age();
  const second = await collectGarbage(at.store, collect);
  assert.equal(second.removed.objects, first.quarantined.objects);
  assert.equal(await pullWhole(at.content, "team/kept", "v1"), kept);
  assert.equal(await at.blobs(), 3);
  assert.deepEqual((await at.content.repositories()).names, ["team/kept"]);
});

test("what is in quarantine comes back when somebody asks for it", async () => {
  await using at = await place();
  const layer = randomLayer();
  await upload(at.content, "a", layer);
  await at.age();
  await collectGarbage(at.store, collect);
  assert.equal(await at.blobs(), 0);
  assert.equal((await at.content.blob("a", layer.digest)).size, layer.data.length);
  await push(at.content, "a", [layer], ["v1"]);
  await at.age();
  await collectGarbage(at.store, collect);
  await at.age();
  await collectGarbage(at.store, collect);
  await pullWhole(at.content, "a", "v1");
});

test("a look at an old blob keeps it for another grace", async () => {
  await using at = await place();
  const layer = randomLayer();
  await upload(at.content, "a", layer);
  await at.age();
  await at.content.blob("a", layer.digest);
  const { quarantined } = await collectGarbage(at.store, collect);
  assert.equal(quarantined.objects, 0);
});

test("untagged manifests go only when told, and not what an index or a subject leads to", async () => {
  await using at = await place();
  const child = await push(at.content, "a", [randomLayer()], []);
  const old = await push(at.content, "a", [randomLayer()], ["latest"]);
  const raw = (await at.content.manifest("a", child)).raw;
  const entry = descriptor({ digest: child, data: raw }, OCI_MANIFEST);
  const index = bytesOf(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }),
  );
  const put = { raw: index.data, mediaType: OCI_INDEX, tags: ["latest"] };
  await at.content.putManifest("a", put);
  const signature = await push(at.content, "a", [randomLayer()], [], { subject: entry });
  await at.age();
  assert.equal((await collectGarbage(at.store, collect)).quarantined.objects, 0);
  await collectGarbage(at.store, { ...collect, removeUntagged: true });
  await at.age();
  await collectGarbage(at.store, { ...collect, removeUntagged: true });
  await assert.rejects(at.content.manifest("a", old), { code: "MANIFEST_UNKNOWN" });
  await pullWhole(at.content, "a", child);
  await pullWhole(at.content, "a", signature);
  assert.equal((await at.content.referrers("a", child))[0]?.digest, signature);
});

test("a dry run counts and changes nothing", async () => {
  await using at = await place();
  await upload(at.content, "a", randomLayer());
  await at.age();
  const { quarantined } = await collectGarbage(at.store, { ...collect, dryRun: true });
  assert.equal(quarantined.objects, 2);
  assert.equal(await at.blobs(), 1);
});

test("uploads to which nothing is added end", async () => {
  await using at = await place();
  const id = await at.content.startUpload("a");
  await at.content.append("a", id, 0, Readable.from([Buffer.from("half")]));
  await collectGarbage(at.store, collect);
  assert.equal(await at.content.uploadSize("a", id), 4);
  await delay(20);
  const { uploadsExpired } = await collectGarbage(at.store, { ...collect, uploadAgeMsMax: 10 });
  assert.deepEqual(uploadsExpired, { objects: 1, bytes: 4 });
  await assert.rejects(at.content.uploadSize("a", id), { code: "BLOB_UPLOAD_UNKNOWN" });
});

test("one collector works at a time", async () => {
  await using at = await place();
  await upload(at.content, "a", randomLayer());
  await at.age();
  let refused = 0;
  const first = interrupted(at.store, async (call) => {
    if (call !== "move") return;
    await assert.rejects(collectGarbage(at.store, collect), { kind: "conflict" });
    refused++;
  });
  await collectGarbage(first, collect);
  assert.ok(refused > 0);
  await collectGarbage(at.store, collect);
});

test("a server collects by the clock and stops with itself", async () => {
  await using at = await place();
  await upload(at.content, "a", randomLayer());
  await at.age();
  const options = { store: at.store, collect: { everyMs: 20, graceMs: HOUR_MS } };
  const server = createRegistry(options);
  while ((await at.blobs()) > 0) await delay(10);
  await server.close();
});

test("a damaged manifest stops the collection before its layers are in doubt", async () => {
  await using at = await place();
  const digest = await push(at.content, "a", [randomLayer()], ["v1"]);
  const hex = digest.slice(7);
  const path = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  await at.store.write(path, Buffer.from('{"schemaVersion":2,"lay'));
  await at.age();
  await assert.rejects(collectGarbage(at.store, collect), { kind: "corrupt" });
  assert.equal(await at.blobs(), 3);
});

/** The store with something happening before some of its calls, as another process would do. */
function interrupted(
  store: ObjectStore,
  before: (call: string, path: string) => Promise<void>,
): ObjectStore {
  return new Proxy(store, {
    get(target, call) {
      const method: unknown = Reflect.get(target, call);
      if (typeof method !== "function") return method;
      if (!["move", "remove", "write"].includes(String(call))) return method.bind(target);
      return async (path: string, ...rest: unknown[]) => {
        await before(String(call), path);
        return await method.call(target, path, ...rest);
      };
    },
  });
}

test("a look between the collector's decision and its deed is kept", async () => {
  await using at = await place();
  const layer = randomLayer();
  const { config, manifest } = imageOf([layer]);
  for (const blob of [config, layer]) await upload(at.content, "a", blob);
  await at.age();
  const looking = interrupted(at.store, async (call) => {
    if (call !== "move") return;
    for (const { digest } of [config, layer]) await at.content.blob("a", digest);
  });
  const { quarantined } = await collectGarbage(looking, collect);
  assert.ok(quarantined.objects > 0);
  const put = { raw: manifest.data, mediaType: OCI_MANIFEST, tags: ["v1"] };
  await at.content.putManifest("a", put);
  await pullWhole(at.content, "a", "v1");
});

test("a look while the quarantine is emptied takes the blob out first", async () => {
  await using at = await place();
  const layer = randomLayer();
  await upload(at.content, "a", layer);
  await at.age();
  await collectGarbage(at.store, collect);
  await at.age();
  const looking = interrupted(at.store, async (call, path) => {
    if (call === "remove" && path.includes("quarantine")) {
      await at.content.blob("a", layer.digest).catch(() => {});
    }
  });
  await collectGarbage(looking, collect);
  const isThere = await at.content.blob("a", layer.digest).catch(() => undefined);
  if (isThere !== undefined) await pullWhole(at.content, "a", await pushAgain(at.content, layer));
  await upload(at.content, "a", layer);
  await push(at.content, "a", [layer], ["v1"]);
  await pullWhole(at.content, "a", "v1");
});

async function pushAgain(content: RegistryContent, layer: Bytes): Promise<string> {
  const { config, manifest } = imageOf([layer]);
  await upload(content, "a", config);
  const put = { raw: manifest.data, mediaType: OCI_MANIFEST, tags: [] };
  return (await content.putManifest("a", put)).digest;
}

for (const runs of [1, 2]) {
  const outcome = runs === 1 ? "takes its layers back" : "is refused when they are gone for good";
  test(`a manifest that is put while ${runs} collection(s) pass ${outcome}`, async () => {
    await using at = await place();
    const layer = randomLayer();
    const { config, manifest } = imageOf([layer]);
    for (const blob of [config, layer]) await upload(at.content, "a", blob);
    let passed = 0;
    // After the first verification, and before the manifest can be seen by anybody.
    const store = interrupted(at.store, async (call, path) => {
      if (call !== "write" || !path.includes("/revisions/")) return;
      for (; passed < runs; passed++) {
        await at.age();
        await collectGarbage(at.store, collect);
      }
    });
    const put = { raw: manifest.data, mediaType: OCI_MANIFEST, tags: ["v1"] };
    const putting = createContent(store).putManifest("a", put);
    if (runs === 1) {
      await putting;
      await pullWhole(at.content, "a", "v1");
      return;
    }
    await assert.rejects(putting, { code: "MANIFEST_BLOB_UNKNOWN" });
    await assert.rejects(at.content.manifest("a", "v1"), { code: "MANIFEST_UNKNOWN" });
    await assert.rejects(at.content.manifest("a", manifest.digest), { code: "MANIFEST_UNKNOWN" });
  });
}

test("under load every image that was pushed pulls whole, and garbage goes away", async () => {
  await using at = await place();
  const graceMs = 150;
  // So many that each is forgotten by everybody before it is wanted again.
  const layers = Array.from({ length: 120 }, () => randomLayer());
  const ends = Date.now() + 3_000;
  const endsAtLast = Date.now() + 60_000;
  // On a machine that is busy with other things it takes longer until there was any load.
  const isOver = () =>
    Date.now() > (pushed > 10 && runs > 3 && quarantined > 0 ? ends : endsAtLast);
  const alive = new Map<string, string>();
  let pushed = 0;
  let runs = 0;
  let removed = 0;
  let quarantined = 0;

  async function pusher(n: number): Promise<void> {
    // A store and a content of its own, as another process has.
    const content = createContent(await openFileStore(at.root), { renewAfterMs: graceMs / 4 });
    const name = `team/p${n}`;
    const own: string[] = [];
    for (let round = 0; !isOver(); round++) {
      const chosen = [0, 1, 2].map((at) => layers[(round * 7 + n * 5 + at * 3) % layers.length]!);
      const tag = `v${round}`;
      if (!(await pushOnce(content, name, chosen, tag, graceMs))) continue;
      pushed++;
      own.push(tag);
      alive.set(`${name}:${tag}`, await pullWhole(content, name, tag));
      if (own.length <= 2) continue;
      const oldest = own.shift()!;
      const digest = alive.get(`${name}:${oldest}`)!;
      if (own.some((other) => alive.get(`${name}:${other}`) === digest)) continue;
      await content.deleteManifest(name, digest);
      for (const [key, value] of alive) {
        if (key.startsWith(`${name}:`) && value === digest) alive.delete(key);
      }
    }
  }
  async function collector(): Promise<void> {
    const store = await openFileStore(at.root);
    while (!isOver()) {
      const report = await collectGarbage(store, { graceMs });
      removed += report.removed.objects;
      quarantined += report.quarantined.objects;
      runs++;
      await delay(10);
    }
  }
  await Promise.all([0, 1, 2, 3].map(pusher).concat(collector()));
  const counts = `${pushed} pushes, ${runs} runs, ${quarantined} set aside, ${removed} removed`;
  assert.ok(pushed > 10 && runs > 3 && quarantined > 0, counts);

  for (const [image, digest] of alive) {
    const [name = "", tag = ""] = image.split(":");
    assert.equal(await pullWhole(at.content, name, tag), digest);
  }
  for (const [image, digest] of alive) {
    await at.content.deleteManifest(image.split(":")[0]!, digest).catch((error) => {
      if (!(error instanceof RegistryError)) throw error; // another tag of the same
    });
  }
  for (let run = 0; run < 4; run++) {
    await at.age();
    removed += (await collectGarbage(at.store, collect)).removed.objects;
  }
  assert.ok(removed > 0);
  const left: string[] = [];
  for await (const { path } of at.store.walk("")) left.push(path);
  assert.deepEqual(left, []);
});

/** As clients push: look, upload what is missing, then the manifest. False when the machine was so
 * slow that what the look promised has expired. */
async function pushOnce(
  content: RegistryContent,
  name: string,
  chosen: Bytes[],
  tag: string,
  graceMs: number,
): Promise<boolean> {
  const { config, manifest } = imageOf(chosen);
  const begun = performance.now();
  for (const blob of [config, ...chosen]) {
    const isThere = await content.blob(name, blob.digest).catch((error) => {
      if (!(error instanceof RegistryError)) throw error;
      return undefined;
    });
    if (isThere === undefined) await upload(content, name, blob);
  }
  await delay(Math.random() * 60);
  try {
    const put = { raw: manifest.data, mediaType: OCI_MANIFEST, tags: [tag] };
    await content.putManifest(name, put);
    return true;
  } catch (error) {
    // What was marked a quarter of the time ago is not marked again, and the put takes its time.
    const isLate = performance.now() - begun > (graceMs * 3) / 4;
    if (error instanceof RegistryError && error.code === "MANIFEST_BLOB_UNKNOWN" && isLate) {
      return false;
    }
    throw error;
  }
}
