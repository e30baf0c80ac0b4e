// Pull: resolve the reference to one image, fetch its config, bring the layers that are missing,
// then hand the whole to the store. Nothing is named before everything is verified.

import { Readable } from "node:stream";
import { GantryError, kindOf } from "../base/index.ts";
import {
  familiarReference,
  formatReference,
  type ImageConfigDocument,
  type Reference,
} from "../spec/index.ts";
import { readBlob } from "./blob-stream.ts";
import type { Credentials, Descriptor, Platform, Tell } from "./contract.ts";
import { chooseManifest, type ImageManifest, parseManifest } from "./manifest.ts";
import { progressMeter, shortId, step } from "./messages.ts";
import { formatPlatform, platformRank } from "./platform.ts";
import type { Registries } from "./registries.ts";
import type { FetchedManifest, Registry } from "./registry.ts";
import { pullError } from "./registry-error.ts";

const indexDepthMax = 3;

export interface PulledImage {
  rawConfig: Uint8Array;
  manifest: Uint8Array;
  manifestType: string;
  /** Normalised names to give: tag and digest references. */
  references: string[];
}
/** Where layers and images go. */
export interface PullStore {
  hasImage(id: string): boolean;
  /** Whether `reference` names the image already. */
  isNamed(id: string, reference: string): boolean;
  /** True when the layer is here; then nobody takes it away before the pull ends. */
  holdLayer(diffId: string): boolean;
  /** Unpacks a layer from its blob, compressed in whatever way; rejects on a wrong diff id. */
  unpack(diffId: string, blob: Descriptor, bytes: Readable): Promise<void>;
  commit(image: PulledImage): Promise<void>;
  /** Adds names to an image that is here. */
  name(id: string, references: string[]): Promise<void>;
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
  for (const mirror of await registries.mirrors(reference.registry, { signal })) {
    try {
      await pullFrom(mirror);
      return tellStatus(tell, reference, isNew);
    } catch (error) {
      if (signal.aborted || kindOf(error) === "corrupt") throw error;
    }
  }
  try {
    await pullFrom(await registries.open(reference.registry, { credentials, signal }));
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
  const { registry, store, tell } = context;
  const asked = reference.digest ?? reference.tag ?? "latest";
  const top = await registry.manifest(reference.repository, asked);
  const { fetched, manifest } = await resolveImage(context, reference.repository, top);
  tell({ status: `Pulling from ${reference.repository}`, id: asked });
  const { tag, digest: _, ...plain } = reference;
  const references = [formatReference({ ...plain, digest: top.digest })];
  // Beside a digest a tag is decoration.
  if (tag !== undefined && reference.digest === undefined) {
    references.push(formatReference({ ...plain, tag }));
  }
  const id = manifest.config.digest;
  const isNew = !references.every((name) => store.isNamed(id, name));
  if (store.hasImage(id)) await store.name(id, references);
  else {
    const rawConfig = await bringImage(context, reference.repository, manifest);
    const { raw, mediaType } = { raw: fetched.raw, mediaType: manifest.mediaType };
    await store.commit({ rawConfig, manifest: raw, manifestType: mediaType, references });
  }
  tell({ status: `Digest: ${top.digest}` });
  return isNew;
}

/** Goes down from an index to the image for the platform. */
async function resolveImage(
  { registry, platform }: Context,
  repository: string,
  top: FetchedManifest,
): Promise<{ fetched: FetchedManifest; manifest: ImageManifest }> {
  let fetched = top;
  for (let depth = 0; depth <= indexDepthMax; depth++) {
    const manifest = parseManifest(fetched.raw, fetched.mediaType);
    if (manifest.kind === "image") return { fetched, manifest };
    const chosen = chooseManifest(manifest, platform);
    if (chosen === undefined) {
      throw new GantryError(
        "not-found",
        `no matching manifest for ${formatPlatform(platform)} in the manifest list entries`,
      );
    }
    fetched = await registry.manifest(repository, chosen.digest);
  }
  throw new GantryError("invalid", `indexes are nested more than ${indexDepthMax} deep`);
}

/** Fetches config and layers; returns the raw config. */
async function bringImage(
  context: Context,
  repository: string,
  manifest: ImageManifest,
): Promise<Uint8Array> {
  const { registry, tell } = context;
  for (const { digest } of manifest.layers) tell(step("Pulling fs layer", shortId(digest)));
  const rawConfig = await registry.smallBlob(repository, manifest.config);
  const diffIds = checkConfig(context, rawConfig, manifest);
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const layers = manifest.layers.map((blob, at) =>
    bringLayer({ ...context, signal }, repository, blob, diffIds[at]!).catch((error) => {
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
  rawConfig: Buffer,
  manifest: ImageManifest,
): string[] {
  let config: Partial<ImageConfigDocument>;
  try {
    config = JSON.parse(rawConfig.toString("utf8")) as Partial<ImageConfigDocument>;
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
        `(${formatPlatform(actual)}) does not match the specified platform ` +
        `(${formatPlatform(platform)})`,
    );
  }
  const diffIds: unknown = config.rootfs?.diff_ids;
  const sound =
    Array.isArray(diffIds) && diffIds.every((id) => /^sha256:[0-9a-f]{64}$/.test(String(id)));
  if (!sound || diffIds.length !== manifest.layers.length) {
    throw new GantryError("invalid", "layers from manifest don't match image configuration");
  }
  return diffIds as string[];
}

/** Two pulls of the same blob share one transfer: the second finds the layer when it may go. */
async function bringLayer(
  context: Context,
  repository: string,
  blob: Descriptor,
  diffId: string,
): Promise<void> {
  const { registries, store, tell, signal, registry } = context;
  const id = shortId(blob.digest);
  if (store.holdLayer(diffId)) return tell(step("Already exists", id));
  tell(step("Waiting", id));
  await registries.transfers.run(diffId, async () => {
    signal.throwIfAborted();
    if (store.holdLayer(diffId)) return tell(step("Already exists", id));
    await registries.downloads.run(async () => {
      const downloading = progressMeter(tell, id, "Downloading", blob.size);
      const bytes = readBlob(
        { registry, repository, blob },
        {
          attemptsMax: registries.options.maxDownloadAttempts,
          onBytes: downloading,
          onRetry: () => tell(step("Retrying in 1 second", id)),
          onVerified: () => {
            tell(step("Verifying Checksum", id));
            tell(step("Download complete", id));
            const { size } = blob;
            tell({ status: "Extracting", progressDetail: { current: size, total: size }, id });
          },
          signal,
        },
      );
      const stream = Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20, signal });
      await store.unpack(diffId, blob, stream);
    }, signal);
    tell(step("Pull complete", id));
  });
}
