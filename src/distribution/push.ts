// Push: each layer is looked for in the registry before anything is moved, mounted from another
// repository where one is known to hold it, and uploaded otherwise. When every blob of the manifest
// that the image came with is there, that manifest goes up byte by byte and the digest stays; else
// the layers are compressed anew and a manifest with their digests is made.

import { pipeline, type Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { GantryError } from "../base/index.ts";
import { digestOf, type Reference } from "../spec/index.ts";
import type { Credentials, Descriptor, Tell } from "./contract.ts";
import { type ImageManifest, parseManifest } from "./manifest.ts";
import { DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_MANIFEST } from "./media-types.ts";
import { progressMeter, shortId, step } from "./messages.ts";
import type { Registries } from "./registries.ts";
import type { Registry } from "./registry.ts";
import { mountBlob, putBlob, putManifest, streamBlob } from "./upload.ts";

/** Speed matters more than the last tenth of size: the wire is rarely slower than the CPU. */
const gzipLevel = 1;
const mountAttemptsMax = 3;

export interface PushedLayer {
  diffId: string;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
  /** Compressed forms that are known. */
  blobs: Descriptor[];
  /** Repositories of the same registry that may hold one of them. */
  mountFrom: string[];
}
export interface PushImage {
  rawConfig: Uint8Array;
  layers: PushedLayer[];
  /** The manifest that the image came with. */
  manifest?: { raw: Uint8Array; mediaType: string };
}
export interface PushStore {
  /** The exact tar of a layer. */
  tar(diffId: string): Promise<Readable>;
  noteBlob(diffId: string, blob: Descriptor): void;
}
export interface PushRequest {
  reference: Reference;
  image: PushImage;
  credentials?: Credentials;
  tell: Tell;
  signal: AbortSignal;
}
type Context = PushRequest & { registries: Registries; registry: Registry; store: PushStore };

/** Pushes one tag. Commit point: the manifest is stored. Returns its digest. */
export async function pushImage(
  registries: Registries,
  store: PushStore,
  request: PushRequest,
): Promise<string> {
  const { reference, image, credentials = {}, tell, signal } = request;
  const { registry: host, repository } = reference;
  const registry = await registries.open(host, { credentials, signal, repository });
  const context: Context = { ...request, registries, registry, store };
  const original = originalOf(image);
  for (const { diffId } of image.layers.toReversed()) tell(step("Preparing", shortId(diffId)));
  const blobs = await putLayers(context, original);
  await putConfig(context, original);
  const kept = original?.layers.every(({ digest }, at) => digest === blobs[at]!.digest);
  const manifest = kept && image.manifest ? image.manifest : newManifest(image, blobs);
  const tag = reference.tag ?? "latest";
  await putManifest(registry, reference.repository, tag, manifest);
  const digest = digestOf(manifest.raw);
  const size = manifest.raw.length;
  tell({ status: `${tag}: digest: ${digest} size: ${size}` });
  tell({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: size } });
  return digest;
}

function originalOf({ manifest, layers }: PushImage): ImageManifest | undefined {
  if (manifest === undefined) return undefined;
  const parsed = parseManifest(manifest.raw, manifest.mediaType);
  if (parsed.kind !== "image" || parsed.layers.length !== layers.length) return undefined;
  return parsed;
}

async function putLayers(
  context: Context,
  original: ImageManifest | undefined,
): Promise<Descriptor[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const { uploads, transfers } = context.registries;
  const { registry, repository } = context.reference;
  const work = context.image.layers.map((layer, at) =>
    transfers
      .run(`push ${registry}/${repository} ${layer.diffId}`, () =>
        uploads.run(() => putLayer({ ...context, signal }, layer, original?.layers[at]), signal),
      )
      .catch((error) => {
        failed.abort(error);
        throw error;
      }),
  );
  const results = await Promise.allSettled(work);
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.map((result) => (result as PromiseFulfilledResult<Descriptor>).value);
}

/** The blob under which the registry has the layer in the end. */
async function putLayer(
  context: Context,
  layer: PushedLayer,
  original: Descriptor | undefined,
): Promise<Descriptor> {
  const { registry, tell, signal, store } = context;
  const { repository } = context.reference;
  const id = shortId(layer.diffId);
  const candidates = candidatesOf(layer, original);
  for (const blob of candidates) {
    signal.throwIfAborted();
    if (!(await registry.hasBlob(repository, blob.digest))) continue;
    tell(step("Layer already exists", id));
    return blob;
  }
  for (const blob of candidates) {
    for (const from of layer.mountFrom.slice(0, mountAttemptsMax)) {
      if (!(await mountBlob(registry, repository, blob.digest, from))) continue;
      tell(step(`Mounted from ${from}`, id));
      return blob;
    }
  }
  const plain = candidates.find(({ digest }) => digest === layer.diffId);
  const blob = await uploadLayer(context, layer, plain);
  store.noteBlob(layer.diffId, blob);
  tell(step("Pushed", id));
  return blob;
}

function candidatesOf(layer: PushedLayer, original: Descriptor | undefined): Descriptor[] {
  const all = new Map<string, Descriptor>();
  for (const blob of original ? [original, ...layer.blobs] : layer.blobs) {
    if (!all.has(blob.digest)) all.set(blob.digest, blob);
  }
  return [...all.values()];
}

async function uploadLayer(
  { registry, tell, store, reference, signal }: Context,
  { diffId, tarSize }: PushedLayer,
  plain: Descriptor | undefined,
): Promise<Descriptor> {
  const tar = await store.tar(diffId);
  const giveUp = (): void => void tar.destroy(signal.reason as Error);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    const meter = progressMeter(tell, shortId(diffId), "Pushing", tarSize);
    if (plain !== undefined) {
      const options = { wanted: plain.digest, onBytes: meter };
      await streamBlob(registry, reference.repository, tar, options);
      return plain;
    }
    let read = 0;
    tar.on("data", (chunk: Buffer) => meter((read += chunk.length)));
    const gzip = createGzip({ level: gzipLevel, chunkSize: 256 << 10 });
    pipeline(tar, gzip, () => {}); // errors reach whoever reads gzip
    const { digest, size } = await streamBlob(registry, reference.repository, gzip);
    return { mediaType: DOCKER_LAYER_GZIP, digest, size };
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

async function putConfig(
  { registry, reference, image }: Context,
  original: ImageManifest | undefined,
): Promise<void> {
  const digest = original?.config.digest ?? digestOf(image.rawConfig);
  if (await registry.hasBlob(reference.repository, digest)) return;
  await putBlob(registry, reference.repository, digest, image.rawConfig);
}

/** As docker makes them: schema 2, fields in its order, three spaces. */
function newManifest(
  { rawConfig }: PushImage,
  blobs: readonly Descriptor[],
): { raw: Uint8Array; mediaType: string } {
  const document = {
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: { mediaType: DOCKER_CONFIG, size: rawConfig.length, digest: digestOf(rawConfig) },
    layers: blobs.map(({ mediaType, size, digest }) => ({
      mediaType: dockerLayerType(mediaType),
      size,
      digest,
    })),
  };
  const raw = Buffer.from(JSON.stringify(document, undefined, 3));
  return { raw, mediaType: DOCKER_MANIFEST };
}

function dockerLayerType(mediaType: string): string {
  if (mediaType.endsWith("+zstd")) return mediaType;
  return /[.+]gzip$/.test(mediaType) ? DOCKER_LAYER_GZIP : DOCKER_LAYER;
}

/** What docker says where nothing has the name. */
export function noSuchTag(name: string): GantryError {
  return new GantryError("not-found", `An image does not exist locally with the tag: ${name}`);
}
