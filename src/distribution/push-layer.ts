// How one layer comes to be in the registry, by the cheapest way that there is: it is there, it is
// mounted, its very blob is sent from here or from the registry that it came from; and only then
// is it compressed. Whoever pushes the same layer at the same time waits and finds it there.

import type { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { Reference } from "../spec/index.ts";
import { type BlobFeed, bytesFeed, gzipFeed, remoteFeed, storedFeed } from "./blob-feed.ts";
import type { Credentials, Descriptor, Tell } from "./contract.ts";
import { DOCKER_LAYER_GZIP, isForeign } from "./media-types.ts";
import { progressMeter, shortId, step } from "./messages.ts";
import { mountBlob } from "./put.ts";
import type { Registries } from "./registries.ts";
import type { Registry } from "./registry.ts";
import { isListed } from "./registry-list.ts";
import { type RetryOptions, retrying } from "./retrying.ts";
import { uploadBlob } from "./upload.ts";

const mountAttemptsMax = 3;
const sourcesTriedMax = 3;
/** Smaller layers are compressed in memory: their digest is known before anything is sent. */
const smallTarBytesMax = 1 << 20;

export interface PushedLayer {
  diffId: string;
  /** Bytes of the layer's files: what docker takes for the whole of its progress. */
  size: number;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
  /** Repositories of the same registry whose images have the layer, in whatever form. */
  mountFrom: string[];
}
/** A repository that is known to hold a blob. */
export type BlobPlace = { registry: string; repository: string };
export interface PushStore {
  /** The exact tar of a layer. */
  tar(diffId: string): Promise<Readable>;
  /** The bytes of a blob of the layer where they are kept; throws not-found. */
  openBlob(digest: string): Promise<Readable>;
  /** Digests of the layer's blobs that are kept. */
  keptBlobs(diffId: string): string[];
  /** The blob's bytes are not what its digest says. */
  damaged(diffId: string, digest: string): Promise<void>;
  /** Forms of the layer that are known. */
  blobs(diffId: string): Descriptor[];
  noteBlob(diffId: string, blob: Descriptor): void;
  /** The latest first. */
  sources(digest: string): BlobPlace[];
  noteSource(digest: string, place: BlobPlace): void;
  forgetSource(digest: string, place: BlobPlace): void;
}
export interface PushContext {
  registries: Registries;
  registry: Registry;
  store: PushStore;
  reference: Reference;
  credentials: Credentials;
  tell: Tell;
  signal: AbortSignal;
  retry: RetryOptions;
}

/** The blob under which the registry has the layer in the end. */
export async function putLayer(
  context: PushContext,
  layer: PushedLayer,
  original: Descriptor | undefined,
): Promise<Descriptor> {
  const { registries, reference, tell, signal, store } = context;
  const { registry, repository } = reference;
  const id = shortId(layer.diffId);
  if (original && isLeftOut(context, original)) {
    tell(step("Skipped foreign layer", id));
    return original;
  }
  const onRetry = (seconds: number): void =>
    tell(step(`Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`, id));
  const own = { ...context, retry: { ...context.retry, onRetry } };
  return await registries.transfers.run(`push ${registry} ${layer.diffId}`, async () => {
    signal.throwIfAborted();
    const bring = async (): Promise<Descriptor> => {
      const { blob, how } = await bringLayer(own, layer, original);
      store.noteBlob(layer.diffId, blob);
      store.noteSource(blob.digest, { registry, repository });
      tell(step(how, id));
      return blob;
    };
    return await registries.uploads.run(bring, signal, { onWait: () => tell(step("Waiting", id)) });
  });
}

/** Layers that their maker does not let others hand on: the manifest says where they are. */
function isLeftOut({ registries, reference }: PushContext, blob: Descriptor): boolean {
  if (!isForeign(blob.mediaType) || !blob.urls) return false;
  return !isListed(registries.options.allowNondistributableArtifacts ?? [], reference.registry);
}

type Brought = { blob: Descriptor; how: string };

async function bringLayer(
  context: PushContext,
  layer: PushedLayer,
  original: Descriptor | undefined,
): Promise<Brought> {
  const others = context.store
    .blobs(layer.diffId)
    .filter(({ digest }) => digest !== original?.digest);
  if (original !== undefined) {
    const found =
      (await find(context, layer, [original])) ?? (await send(context, layer, original));
    if (found !== undefined) return found;
  }
  const found = await find(context, layer, others);
  if (found !== undefined) return found;
  const kept = new Set(context.store.keptBlobs(layer.diffId));
  for (const blob of others.filter(({ digest }) => kept.has(digest))) {
    const sent = await sendKept(context, layer, blob);
    if (sent !== undefined) return sent;
  }
  return await compress(context, layer);
}

/** One of the blobs, if the repository has it or can have it without its bytes being moved. */
async function find(
  context: PushContext,
  { mountFrom }: PushedLayer,
  blobs: readonly Descriptor[],
): Promise<Brought | undefined> {
  const { registry, reference, store, retry, signal } = context;
  const { repository } = reference;
  for (const blob of blobs) {
    const there = await retrying(() => registry.hasBlob(repository, blob.digest), retry);
    if (there) return { blob, how: "Layer already exists" };
  }
  for (const blob of blobs) {
    const known = store.sources(blob.digest).filter((at) => at.registry === reference.registry);
    const from = new Set([...known.map((place) => place.repository), ...mountFrom]);
    from.delete(repository);
    for (const other of [...from].slice(0, mountAttemptsMax)) {
      const mount = () => mountBlob(registry, repository, blob.digest, other, signal);
      if (await retrying(mount, retry)) return { blob, how: `Mounted from ${other}` };
    }
  }
  return undefined;
}

/** Sends exactly this blob, if its bytes can be had. */
async function send(
  context: PushContext,
  layer: PushedLayer,
  blob: Descriptor,
): Promise<Brought | undefined> {
  if (blob.digest === layer.diffId) {
    const feed = storedFeed(blob, () => context.store.tar(layer.diffId));
    return await upload(context, layer, blob, feed);
  }
  if (context.store.keptBlobs(layer.diffId).includes(blob.digest)) {
    const sent = await sendKept(context, layer, blob);
    if (sent !== undefined) return sent;
  }
  return await passOn(context, layer, blob);
}

async function sendKept(
  context: PushContext,
  layer: PushedLayer,
  blob: Descriptor,
): Promise<Brought | undefined> {
  const { store, signal } = context;
  try {
    const feed = storedFeed(blob, () => store.openBlob(blob.digest));
    return await upload(context, layer, blob, feed);
  } catch (error) {
    const isLost = error instanceof GantryError && ["corrupt", "not-found"].includes(error.kind);
    if (signal.aborted || !isLost || error.detail["status"] !== undefined) throw error;
    await store.damaged(layer.diffId, blob.digest);
    return undefined;
  }
}

/** From a registry that is known to hold the blob; credentials are those of the target alone. */
async function passOn(
  context: PushContext,
  layer: PushedLayer,
  blob: Descriptor,
): Promise<Brought | undefined> {
  const { registries, store, reference, registry, signal } = context;
  for (const place of store.sources(blob.digest).slice(0, sourcesTriedMax)) {
    const own = place.registry === reference.registry;
    if (own && place.repository === reference.repository) continue;
    let feed: BlobFeed | undefined;
    try {
      const source = own
        ? registry
        : await registries.open(place.registry, { repository: place.repository, signal });
      feed = remoteFeed(source, place.repository, blob);
      return await upload(context, layer, blob, feed);
    } catch (error) {
      signal.throwIfAborted();
      if (feed !== undefined && feed.failed === undefined) throw error;
      const gone = feed?.failed instanceof GantryError && feed.failed.kind === "not-found";
      if (gone) store.forgetSource(blob.digest, place);
    }
  }
  return undefined;
}

async function upload(
  { registry, reference, retry, tell }: PushContext,
  { diffId }: PushedLayer,
  blob: Descriptor,
  feed: BlobFeed,
): Promise<Brought> {
  const onBytes = progressMeter(tell, shortId(diffId), "Pushing", blob.size);
  await uploadBlob(registry, reference.repository, feed, { ...retry, onBytes });
  return { blob, how: "Pushed" };
}

async function compress(
  { registry, reference, retry, store, tell }: PushContext,
  { diffId, size: fileBytes, tarSize }: PushedLayer,
): Promise<Brought> {
  const meter = progressMeter(tell, shortId(diffId), "Pushing", fileBytes);
  const streamed = gzipFeed(() => store.tar(diffId), meter);
  const feed = tarSize <= smallTarBytesMax ? await inMemory(streamed) : streamed;
  const { digest, size } = await uploadBlob(registry, reference.repository, feed, retry);
  return { blob: { mediaType: DOCKER_LAYER_GZIP, digest, size }, how: "Pushed" };
}

async function inMemory(feed: BlobFeed): Promise<BlobFeed> {
  const bytes = Buffer.concat(await Array.fromAsync(feed.open(0)));
  return bytesFeed(bytes);
}
