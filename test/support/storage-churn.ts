// A process that loads, imports, commits and removes images in one storage as fast as it can, to be
// killed at any moment: node storage-churn.ts ROOT EXEC_ROOT SEED.

import { mkdir } from "node:fs/promises";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { Spawner } from "../../src/native/index.ts";
import { digestOf, hexOf } from "../../src/spec/index.ts";
import {
  encodeImageConfig,
  importRootfs,
  loadArchive,
  type OpenStorage,
  openStorage,
} from "../../src/storage/index.ts";
import { rawTar } from "./raw-tar.ts";

const PLATFORM = { os: "linux", architecture: "amd64" };

/** A layer that depends on its number alone, so that images share layers. */
export function numberedLayer(number: number): Buffer {
  return rawTar(
    { name: "shared/", type: "5", mode: 0o755 },
    { name: `shared/${number % 5}`, content: `${number}`.repeat(20_000) },
  );
}

/** An OCI layout of two layers, one of them compressed. */
export function numberedImage(number: number): { id: string; archive: Buffer } {
  const plain = numberedLayer(number % 3);
  const packed = gzipSync(numberedLayer(100 + number));
  const rootfs = {
    type: "layers",
    diff_ids: [plain, numberedLayer(100 + number)].map((tar) => digestOf(tar)),
  };
  const config = Buffer.from(JSON.stringify({ ...PLATFORM, rootfs, number }));
  const blob = (mediaType: string, data: Buffer) => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: digestOf(data),
    size: data.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: blob("config.v1+json", config),
      layers: [blob("layer.v1.tar", plain), blob("layer.v1.tar+gzip", packed)],
    }),
  );
  const manifests = [blob("manifest.v1+json", manifest)];
  const blobs = [plain, packed, config, manifest].map((content) => ({
    name: `blobs/sha256/${hexOf(digestOf(content))}`,
    content,
  }));
  const index = { name: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests }) };
  return { id: digestOf(config), archive: rawTar(...blobs, index) };
}

export const streamed = (data: Uint8Array): Readable =>
  Readable.from([data], { objectMode: false });

/** As the engine commits: a layer under a lease, then the image. */
export async function commitNumbered(storage: OpenStorage, number: number): Promise<string> {
  const lease = storage.lease();
  try {
    const tar = streamed(numberedLayer(number));
    const layer = await storage.layers.apply(tar, { lease });
    const raw = encodeImageConfig({
      ...PLATFORM,
      created: new Date(number),
      config: {},
      diffIds: [layer.diffId],
      history: [],
    });
    return await storage.images.put(raw);
  } finally {
    await lease.release();
  }
}

let told = false;
/** To who kills it: there was an image. */
function tellOnce(): void {
  if (!told) process.stdout.write("made\n");
  told = true;
}

async function churn(storage: OpenStorage, random: () => number): Promise<void> {
  for (;;) {
    const number = Math.floor(random() * 8);
    const choice = random();
    try {
      if (choice < 0.4) {
        await loadArchive(storage, streamed(numberedImage(number).archive));
        tellOnce();
      } else if (choice < 0.5) {
        const tar = streamed(numberedLayer(number));
        await importRootfs(storage, tar, { platform: PLATFORM });
      } else if (choice < 0.6) await commitNumbered(storage, number);
      else {
        const images = storage.images.list();
        const image = images[Math.floor(random() * images.length)];
        if (image) await storage.images.remove(image.id);
      }
    } catch (error) {
      // Somebody else has removed it.
      if ((error as { kind?: string }).kind !== "not-found") throw error;
    }
  }
}

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (import.meta.main) {
  const [root = "", execRoot = "", seed = "1"] = process.argv.slice(2);
  await mkdir(execRoot, { recursive: true });
  const storage = await openStorage({ root, native: new Spawner({ execRoot }) });
  await storage.reconcile({ snapshotIds: new Set() });
  process.stdout.write("ready\n");
  const random = randomOf(Number(seed));
  await Promise.all([churn(storage, random), churn(storage, random), churn(storage, random)]);
}
