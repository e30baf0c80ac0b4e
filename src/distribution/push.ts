// Push: each layer is looked for in the registry before anything is moved, mounted from another
// repository where one is known to hold it, and uploaded otherwise. The manifest that the image
// came with goes up byte by byte, and its digest stays, whenever its very blobs can be had: they
// are kept here, or a registry that holds them gives them. Else layers are compressed anew, and a
// manifest with their digests is made.

import { GantryError } from "../base/index.ts";
import { digestOf, type Platform, type Reference } from "../spec/index.ts";
import type { Credentials, Descriptor, Tell } from "./contract.ts";
import { type ImageManifest, parseManifest } from "./manifest.ts";
import { shortId, step } from "./messages.ts";
import { newManifest } from "./new-manifest.ts";
import { type PushContext, type PushedLayer, type PushStore, putLayer } from "./push-layer.ts";
import { putManifest } from "./put.ts";
import type { Registries } from "./registries.ts";
import { retrying } from "./retrying.ts";
import { putBlob } from "./upload.ts";

export interface PushImage {
  rawConfig: Uint8Array;
  layers: PushedLayer[];
  /** The manifest that the image came with. */
  manifest?: { raw: Uint8Array; mediaType: string };
}
export interface PushRequest {
  reference: Reference;
  image: PushImage;
  credentials?: Credentials;
  /** The registry may be spoken to without verified TLS. */
  insecure?: boolean;
  /** Under no tag. */
  byDigest?: boolean;
  /** With its very manifest, or not at all. */
  exact?: boolean;
  tell: Tell;
  signal: AbortSignal;
}
export interface PushedIndex {
  raw: Uint8Array;
  mediaType: string;
  /** Of every image manifest that it lists. */
  images: PushImage[];
  /** The other manifests that it lists (attestations), with all that they refer to. */
  artifacts?: readonly PushedArtifact[];
}
export interface PushedArtifact {
  raw: Uint8Array;
  mediaType: string;
  blobs: readonly Uint8Array[];
}

/** Pushes one tag. Commit point: the manifest is stored. Returns its digest. */
export async function pushImage(
  registries: Registries,
  store: PushStore,
  request: PushRequest,
): Promise<string> {
  const context = await openTarget(registries, store, request);
  const manifest = await pushContent(context, request.image);
  if (request.exact) checkExact(request.image, manifest.raw);
  const tag = placeOf(request, manifest.raw);
  await putManifest(context.registry, request.reference.repository, tag, manifest, context.retry);
  return tellDigest(request.tell, tag, manifest.raw);
}

/** Pushes an index under a tag with every manifest that it lists, byte by byte. Throws conflict
 * when one of them cannot be had as it was. Returns the digest of the index. */
export async function pushIndex(
  registries: Registries,
  store: PushStore,
  { index, ...rest }: Omit<PushRequest, "image"> & { index: PushedIndex },
): Promise<string> {
  const tag = placeOf(rest, index.raw);
  const { repository } = rest.reference;
  let context: PushContext | undefined;
  for (const image of index.images) {
    context ??= await openTarget(registries, store, { ...rest, image });
    const manifest = await pushContent(context, image);
    const digest = checkExact(image, manifest.raw);
    await putManifest(context.registry, repository, digest, manifest, context.retry);
  }
  if (context === undefined) throw new GantryError("invalid", "the index lists no manifest");
  for (const artifact of index.artifacts ?? []) {
    for (const blob of artifact.blobs) await putSmall(context, repository, blob);
    const digest = digestOf(artifact.raw);
    await putManifest(context.registry, repository, digest, artifact, context.retry);
  }
  await putManifest(context.registry, repository, tag, index, context.retry);
  return tellDigest(rest.tell, tag, index.raw);
}

/** The tag, or the digest itself. */
function placeOf({ reference, byDigest }: Omit<PushRequest, "image">, raw: Uint8Array): string {
  return byDigest ? digestOf(raw) : (reference.tag ?? "latest");
}

function checkExact(image: PushImage, raw: Uint8Array): string {
  const digest = digestOf(raw);
  if (image.manifest !== undefined && digest === digestOf(image.manifest.raw)) return digest;
  const message = "an image has lost the form of its layers: pull it again";
  throw new GantryError("conflict", message);
}

export async function putSmall(
  { registry, retry }: PushContext,
  repository: string,
  bytes: Uint8Array,
): Promise<void> {
  const digest = digestOf(bytes);
  if (await retrying(() => registry.hasBlob(repository, digest), retry)) return;
  await putBlob(registry, repository, digest, bytes, retry);
}

function tellDigest(tell: Tell, tag: string, raw: Uint8Array): string {
  const digest = digestOf(raw);
  tell({ status: `${tag}: digest: ${digest} size: ${raw.length}` });
  tell({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: raw.length } });
  return digest;
}

export async function openTarget(
  registries: Registries,
  store: PushStore,
  { reference, credentials = {}, insecure, tell, signal }: PushRequest,
): Promise<PushContext> {
  const registry = await registries.open(reference.registry, {
    repository: reference.repository,
    credentials,
    ...(insecure && { insecure }),
    signal,
  });
  const attemptsMax = registries.options.maxUploadAttempts ?? 5;
  const { retryDelaysMs } = registries.options;
  const retry = { attemptsMax, signal, ...(retryDelaysMs ? { delaysMs: retryDelaysMs } : {}) };
  return { registries, registry, store, reference, credentials, tell, signal, retry };
}

/** Layers and config; returns the manifest that names them. */
async function pushContent(
  context: PushContext,
  image: PushImage,
): Promise<{ raw: Uint8Array; mediaType: string }> {
  const { tell } = context;
  const original = originalOf(image);
  for (const { diffId } of image.layers.toReversed()) tell(step("Preparing", shortId(diffId)));
  const blobs = await putLayers(context, image, original);
  await putConfig(context, image, original);
  const kept = original?.layers.every(({ digest }, at) => digest === blobs[at]!.digest);
  return kept && image.manifest ? image.manifest : newManifest(image.rawConfig, blobs);
}

function originalOf({ manifest, layers }: PushImage): ImageManifest | undefined {
  if (manifest === undefined) return undefined;
  const parsed = parseManifest(manifest.raw, manifest.mediaType);
  if (parsed.kind !== "image" || parsed.layers.length !== layers.length) return undefined;
  return parsed;
}

export async function putLayers(
  context: PushContext,
  { layers }: PushImage,
  original: ImageManifest | undefined,
): Promise<Descriptor[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const registry = context.registry.withSignal(signal);
  const own = { ...context, registry, signal, retry: { ...context.retry, signal } };
  const work = layers.map((layer, at) =>
    putLayer(own, layer, original?.layers[at]).catch((error) => {
      failed.abort(error);
      throw error;
    }),
  );
  // All have ended before anyone goes on; the first error is the one that tells why.
  const results = await Promise.allSettled(work);
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.map((result) => (result as PromiseFulfilledResult<Descriptor>).value);
}

async function putConfig(
  { registry, reference: { repository }, retry }: PushContext,
  { rawConfig }: PushImage,
  original: ImageManifest | undefined,
): Promise<void> {
  const digest = original?.config.digest ?? digestOf(rawConfig);
  if (await retrying(() => registry.hasBlob(repository, digest), retry)) return;
  await putBlob(registry, repository, digest, rawConfig, retry);
}

/** What an index lists; undefined where the document is none. */
export function listedManifests(
  raw: Uint8Array,
  mediaType: string,
): (Descriptor & { platform?: Platform })[] | undefined {
  const parsed = parseManifest(raw, mediaType);
  return parsed.kind === "index" ? parsed.manifests : undefined;
}

/** What docker says where nothing has the name. */
export function noSuchTag(name: string): GantryError {
  return new GantryError("not-found", `An image does not exist locally with the tag: ${name}`);
}
