// Pull: resolve the reference to one image, fetch its config, bring the layers that are missing,
// then hand the whole to the store. Nothing is named before everything is verified.

import { GantryError, kindOf } from "../base/index.ts";
import {
  algorithmOf,
  digestOf,
  familiarReference,
  formatReference,
  type ImageConfigDocument,
  isDigest,
  type Platform,
  type Reference,
  writePlatform,
} from "../spec/index.ts";
import type { Credentials, Descriptor, Tell } from "./contract.ts";
import { type LayerSink, transferLayer } from "./layer-transfer.ts";
import { chooseManifest, type ImageManifest, isRegistryDigest, parseManifest } from "./manifest.ts";
import { shortId, step } from "./messages.ts";
import { platformRank } from "./platform.ts";
import type { Registries } from "./registries.ts";
import type { FetchedManifest, Registry } from "./registry.ts";
import { pullError } from "./registry-error.ts";

const indexDepthMax = 3;

export interface PulledDocument {
  raw: Uint8Array;
  mediaType: string;
}
export interface PulledImage {
  rawConfig: Uint8Array;
  manifest: PulledDocument;
  /** The indexes that led to the manifest, top first. */
  indexes: PulledDocument[];
  /** Normalised names to give: tag and digest references. */
  references: string[];
}
/** Where layers and images go, and what is here already. */
export interface PullStore extends LayerSink {
  /** The raw config of an image that is here. */
  config(id: string): Uint8Array | undefined;
  /** A manifest or index that is here, whole and undamaged. */
  document(digest: string): Promise<PulledDocument | undefined>;
  /** The id of the image that has the name. */
  named(reference: string): string | undefined;
  /** True when the layer is here. Whether it is or comes later, nobody takes it away before the
   * pull ends. */
  holdLayer(diffId: string): boolean;
  /** A repository is said to hold a layer that is here. */
  noteSource(diffId: string, blob: Descriptor, source: string): void;
  commit(image: PulledImage): Promise<void>;
  /** Adds names and documents to an image that is here. */
  name(id: string, image: Omit<PulledImage, "rawConfig">): Promise<void>;
}
export interface PullRequest {
  reference: Reference;
  /** What to take of an index; the host's when the user has not said. */
  platform: Platform;
  /** The user has asked for it: another one is an error. */
  platformIsAsked: boolean;
  credentials?: Credentials;
  tell: Tell;
  signal: AbortSignal;
}
type Context = PullRequest & { registries: Registries; store: PullStore; registry: Registry };

/** Pulls a tag, a digest or (without either) every tag. Commit point: each image is named. */
export async function pullImages(
  registries: Registries,
  store: PullStore,
  request: PullRequest,
): Promise<void> {
  const { reference, signal, credentials = {}, tell } = request;
  let isNew = false;
  const pullFrom = async (registry: Registry): Promise<void> => {
    const context = { ...request, registries, store, registry };
    for (const one of await wanted(registry, reference)) {
      isNew = (await pullOne(context, one)) || isNew;
    }
  };
  const where = { credentials, signal, repository: reference.repository };
  for (const mirror of await registries.mirrors(reference.registry, where)) {
    try {
      await pullFrom(mirror);
      return tellStatus(tell, reference, isNew);
    } catch (error) {
      // What is not the registry's fault would fail again there.
      if (signal.aborted || kindOf(error) === "exhausted") throw error;
    }
  }
  try {
    await pullFrom(await registries.open(reference.registry, where));
  } catch (error) {
    throw pullError(error, reference);
  }
  tellStatus(tell, reference, isNew);
}

function tellStatus(tell: Tell, reference: Reference, isNew: boolean): void {
  const name = familiarReference(reference);
  const what = isNew ? "Downloaded newer image for" : "Image is up to date for";
  tell({ status: `Status: ${what} ${name}` });
}

async function wanted(registry: Registry, reference: Reference): Promise<Reference[]> {
  if (reference.tag !== undefined || reference.digest !== undefined) return [reference];
  const tags = await registry.tags(reference.repository);
  return tags.map((tag) => ({ ...reference, tag }));
}

/** Returns whether anything changed. */
async function pullOne(context: Context, reference: Reference): Promise<boolean> {
  const { store, tell } = context;
  const asked = reference.digest ?? reference.tag ?? "latest";
  const { top, indexes, fetched, manifest } = await resolveImage(context, reference);
  tell({ status: `Pulling from ${reference.repository}`, id: asked });
  const { tag, digest: _, ...plain } = reference;
  const references = [formatReference({ ...plain, digest: top.digest })];
  // Beside a digest a tag is decoration.
  if (tag !== undefined && reference.digest === undefined) {
    references.push(formatReference({ ...plain, tag }));
  }
  const documents = {
    manifest: { raw: fetched.raw, mediaType: manifest.mediaType },
    indexes,
    references,
  };
  const here = store.config(manifest.config.digest);
  let id = manifest.config.digest;
  const before = references.map((name) => store.named(name));
  if (here !== undefined) {
    checkConfig(context, here, manifest);
    await store.name(id, documents);
  } else {
    const rawConfig = await bringImage(context, reference, manifest);
    id = digestOf(rawConfig);
    await store.commit({ rawConfig, ...documents });
  }
  tell({ status: `Digest: ${top.digest}` });
  return before.some((name) => name !== id);
}

interface Resolved {
  top: FetchedManifest;
  indexes: PulledDocument[];
  fetched: FetchedManifest;
  manifest: ImageManifest;
}

/** Goes down from an index to the image for the platform. */
async function resolveImage(context: Context, reference: Reference): Promise<Resolved> {
  const { platform } = context;
  const top = await fetchTop(context, reference);
  const indexes: PulledDocument[] = [];
  for (let fetched = top; ; ) {
    const manifest = parseManifest(fetched.raw, fetched.mediaType);
    if (manifest.kind === "image") return { top, indexes, fetched, manifest };
    if (indexes.length === indexDepthMax) break;
    indexes.push({ raw: fetched.raw, mediaType: manifest.mediaType });
    const chosen = chooseManifest(manifest, platform);
    if (chosen === undefined) {
      throw new GantryError(
        "not-found",
        `no matching manifest for ${writePlatform(platform)} in the manifest list entries`,
      );
    }
    fetched = await fetchByDigest(context, reference.repository, chosen.digest);
  }
  throw new GantryError("invalid", `indexes are nested more than ${indexDepthMax} deep`);
}

/** For a tag that is here already the digest is enough to know that it is still the same. */
async function fetchTop(context: Context, reference: Reference): Promise<FetchedManifest> {
  const { registry, store, signal } = context;
  const { repository, digest, tag = "latest" } = reference;
  if (digest !== undefined) return fetchByDigest(context, repository, digest, { ask: true });
  if (store.named(formatReference({ ...reference, tag })) !== undefined) {
    const told = await registry.manifestDigest(repository, tag).catch((error) => {
      if (signal.aborted) throw error;
      return undefined; // a proxy that dislikes HEAD; GET tells what is the matter
    });
    const here = told && (await store.document(told.digest));
    if (here) return { raw: Buffer.from(here.raw), mediaType: here.mediaType, digest: told.digest };
  }
  return registry.manifest(repository, tag);
}

/** `ask`: the user has named it, so the registry must have it even when it is here. */
async function fetchByDigest(
  { registry, store }: Context,
  repository: string,
  digest: string,
  { ask = false } = {},
): Promise<FetchedManifest> {
  if (!isRegistryDigest(digest)) {
    throw new GantryError("invalid", `unsupported digest algorithm: ${digest}`);
  }
  const here = await store.document(digest);
  if (here === undefined) return registry.manifest(repository, digest);
  if (ask) {
    const told = await registry.manifestDigest(repository, digest).catch(() => undefined);
    if (told?.digest !== digest) return registry.manifest(repository, digest);
  }
  return { raw: Buffer.from(here.raw), mediaType: here.mediaType, digest };
}

/** Fetches config and layers; returns the raw config. */
async function bringImage(
  context: Context,
  reference: Reference,
  manifest: ImageManifest,
): Promise<Uint8Array> {
  const { registry, tell } = context;
  const { repository } = reference;
  for (const { digest } of manifest.layers) tell(step("Pulling fs layer", shortId(digest)));
  const rawConfig = await registry.smallBlob(repository, manifest.config);
  const diffIds = checkConfig(context, rawConfig, manifest);
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const layers = manifest.layers.map((blob, at) =>
    bringLayer({ ...context, signal }, reference, blob, diffIds[at]!).catch((error) => {
      failed.abort(error);
      throw error;
    }),
  );
  // All have ended before anything is cleaned up; the first error is the one that tells why.
  await Promise.allSettled(layers);
  if (failed.signal.aborted) throw failed.signal.reason;
  return rawConfig;
}

function checkConfig(
  { platform, platformIsAsked, reference }: Context,
  rawConfig: Uint8Array,
  manifest: ImageManifest,
): string[] {
  let config: Partial<ImageConfigDocument>;
  try {
    config = JSON.parse(Buffer.from(rawConfig).toString("utf8")) as Partial<ImageConfigDocument>;
  } catch (cause) {
    throw new GantryError("corrupt", "image config is not valid JSON", { cause });
  }
  const { os = "linux", architecture = "", variant } = config;
  const actual = { os: os || "linux", architecture, ...(variant ? { variant } : {}) };
  if (actual.os !== "linux") {
    throw new GantryError("invalid", `operating system "${os}" is not supported on this platform`);
  }
  if (platformIsAsked && architecture && platformRank(actual, platform) === undefined) {
    throw new GantryError(
      "not-found",
      `image with reference ${familiarReference(reference)} was found but its platform ` +
        `(${writePlatform(actual)}) does not match the specified platform ` +
        `(${writePlatform(platform)})`,
    );
  }
  const diffIds: unknown = config.rootfs?.diff_ids;
  const sound =
    Array.isArray(diffIds) && diffIds.every((id) => typeof id === "string" && isDigest(id));
  if (!sound || diffIds.length !== manifest.layers.length) {
    throw new GantryError("invalid", "layers from manifest don't match image configuration");
  }
  const other = diffIds.find((id) => algorithmOf(id) !== "sha256");
  if (other !== undefined) {
    const message = `image names its layers by ${algorithmOf(other)}: only sha256 is supported`;
    throw new GantryError("not-implemented", message);
  }
  return diffIds as string[];
}

/** Two pulls of the same layer share one transfer. */
async function bringLayer(
  context: Context,
  { registry: host, repository }: Reference,
  blob: Descriptor,
  diffId: string,
): Promise<void> {
  const { registries, registry, store: sink, tell, signal } = context;
  const id = shortId(blob.digest);
  const source = `${host}/${repository}`;
  if (sink.holdLayer(diffId)) {
    sink.noteSource(diffId, blob, source);
    return tell(step("Already exists", id));
  }
  const transfer = { registries, registry, repository, source, sink, blob, diffId };
  await registries.layers.run(`${blob.digest} ${diffId}`, { tell, signal }, (tellAll, shared) =>
    transferLayer(transfer, tellAll, shared),
  );
}
