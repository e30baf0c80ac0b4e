// Manifests of any kind (images, indexes, attestations, artifacts) as they lie in registries, and
// their way from one repository to another with everything that they refer to. For tools that take
// images apart and put them together (`imagetools`), not for what is run.

import { GantryError } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import { remoteFeed } from "./blob-feed.ts";
import type { Descriptor } from "./contract.ts";
import { isRegistryDigest } from "./manifest.ts";
import { isIndex, OCI_INDEX, OCI_MANIFEST } from "./media-types.ts";
import { mountBlob, putManifest } from "./put.ts";
import type { Registry } from "./registry.ts";
import { type FullPlatform, fullPlatform } from "./remote-manifest.ts";
import { uploadBlob } from "./upload.ts";

const attemptsMax = 5;
const descriptorsMax = 1000;
const depthMax = 4;
const manifestsMax = 10_000;

/** A descriptor with what indexes say beside it. */
export interface FullDescriptor extends Descriptor {
  platform?: FullPlatform;
  annotations?: Record<string, string>;
  artifactType?: string;
}
export interface AnyManifest {
  raw: Buffer;
  digest: string;
  mediaType: string;
  /** Of an index; empty otherwise. */
  manifests: FullDescriptor[];
  /** Of anything else. */
  config?: FullDescriptor;
  layers: FullDescriptor[];
}
export interface RepositoryPlace {
  registry: Registry;
  repository: string;
  /** As references name the registry: within one, blobs are mounted. */
  host: string;
}

/** By tag or digest, checked. */
export async function fetchAny(
  { registry, repository }: RepositoryPlace,
  tagOrDigest: string,
): Promise<AnyManifest> {
  const { raw, mediaType, digest } = await registry.manifest(repository, tagOrDigest);
  return readAnyManifest(raw, mediaType, digest);
}

/** Throws invalid or corrupt. */
export function readAnyManifest(raw: Buffer, told: string, digest = digestOf(raw)): AnyManifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(raw.toString("utf8"));
  } catch (cause) {
    throw new GantryError("corrupt", "manifest is not valid JSON", { cause });
  }
  const document = (typeof parsed === "object" && parsed !== null ? parsed : {}) as Record<
    string,
    unknown
  >;
  const { mediaType, manifests, config, layers } = document;
  const guess = manifests === undefined ? OCI_MANIFEST : OCI_INDEX;
  const type = typeof mediaType === "string" && mediaType ? mediaType : told.split(";")[0]!.trim();
  return {
    ...{ raw, digest, mediaType: type || guess },
    manifests: descriptors(manifests, "manifests"),
    layers: descriptors(layers, "layers"),
    ...(config !== undefined && { config: descriptors([config], "config")[0]! }),
  };
}

function descriptors(value: unknown, where: string): FullDescriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > descriptorsMax) {
    throw new GantryError("invalid", `invalid manifest: ${where} is no list of descriptors`);
  }
  return value.map((one) => readDescriptor(one, where));
}

/** Throws invalid. */
export function readDescriptor(value: unknown, where = "descriptor"): FullDescriptor {
  const { mediaType, digest, size, urls, platform, annotations, artifactType } = (value ??
    {}) as Record<string, unknown>;
  const isSound =
    typeof mediaType === "string" &&
    typeof digest === "string" &&
    isRegistryDigest(digest) &&
    Number.isSafeInteger(size) &&
    (size as number) >= 0;
  if (!isSound) throw new GantryError("invalid", `invalid manifest: bad ${where}`);
  const links = Array.isArray(urls) ? urls.filter((url) => typeof url === "string") : [];
  const notes = Object.entries((annotations ?? {}) as object).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return {
    ...{ mediaType, digest, size: size as number },
    ...(links.length > 0 && { urls: links }),
    ...(notes.length > 0 && { annotations: Object.fromEntries(notes) }),
    ...(platform !== undefined && platform !== null && { platform: fullPlatform(platform) }),
    ...(typeof artifactType === "string" && { artifactType }),
  };
}

interface Copy {
  from: RepositoryPlace;
  to: RepositoryPlace;
  signal: AbortSignal;
  seen: Set<string>;
}

/** Brings a manifest with all that it refers to into another repository, under its digest. */
export async function copyManifest(manifest: AnyManifest, o: Omit<Copy, "seen">): Promise<void> {
  const { from, to } = o;
  if (from.host === to.host && from.repository === to.repository) return;
  await copyOne(manifest, { ...o, seen: new Set() }, 0);
}

async function copyOne(manifest: AnyManifest, copy: Copy, depth: number): Promise<void> {
  const { from, to, signal, seen } = copy;
  if (depth > depthMax) throw new GantryError("invalid", "Image indexes are nested too deep");
  for (const child of manifest.manifests) {
    if (seen.has(child.digest)) continue;
    seen.add(child.digest);
    if (seen.size > manifestsMax) throw new GantryError("invalid", "The image has too many parts");
    await copyOne(await fetchAny(from, child.digest), copy, depth + 1);
  }
  const blobs = [...(manifest.config ? [manifest.config] : []), ...manifest.layers];
  for (const blob of new Map(blobs.map((one) => [one.digest, one])).values()) {
    signal.throwIfAborted();
    // Layers that registries do not hold are where their URLs say.
    if (!blob.urls) await copyBlob(blob, copy);
  }
  await putAny(to, manifest.digest, manifest, { signal });
}

async function copyBlob(blob: Descriptor, { from, to, signal }: Copy): Promise<void> {
  if (await to.registry.hasBlob(to.repository, blob.digest)) return;
  if (from.host === to.host) {
    const { registry, repository } = to;
    if (await mountBlob(registry, repository, blob.digest, from.repository, signal)) return;
  }
  const feed = remoteFeed(from.registry, from.repository, blob);
  await uploadBlob(to.registry, to.repository, feed, { attemptsMax, signal });
}

/** Stores a manifest under a tag or its digest; what it refers to has to be there. */
export async function putAny(
  { registry, repository }: RepositoryPlace,
  tagOrDigest: string,
  { raw, mediaType }: { raw: Uint8Array; mediaType: string },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  await putManifest(registry, repository, tagOrDigest, { raw, mediaType }, { attemptsMax, signal });
}

export const isIndexType = isIndex;
