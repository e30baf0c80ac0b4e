// From what an image archive held to what will be stored: pure. manifest.json (docker-archive)
// wins over index.json (OCI layout), as in docker; an OCI manifest for the same config is kept
// with the image either way.

import { posix } from "node:path";
import { GantryError } from "../base/index.ts";
import { digestOf, formatReference, hexOf, isDigest, parseReference } from "../spec/index.ts";
import type { Descriptor, Layer } from "./contract.ts";
import { parseImageConfig, parseObject } from "./image-config.ts";
import { type Contents, documentDigestMatches } from "./load-contents.ts";

export interface LoadPlan {
  images: {
    rawConfig: Uint8Array;
    manifest?: Uint8Array;
    manifestType?: string;
    references: string[];
    /** The index that led to it, when all that it lists is in the archive. */
    index?: FoundIndex;
  }[];
  /** Compressed forms that were seen on the way. */
  blobs: (Descriptor & { diffId: string; isKept: boolean })[];
}
export type Platform = { os: string; architecture: string; variant?: string };
type Planned = LoadPlan["images"][number];
type FoundManifest = { raw: Uint8Array; mediaType: string; name?: string; index?: FoundIndex };
type Document = { raw: Uint8Array; mediaType: string };
export interface FoundIndex extends Document {
  digest: string;
  /** Manifests of attestations, and what these refer to. */
  documents: Document[];
  isWhole: boolean;
}

const MANIFEST_DEPTH_MAX = 4;
const MANIFESTS_MAX = 10_000;
const INDEX_TYPES = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);
const MANIFEST_TYPES = new Set([
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
]);

/** Throws invalid or corrupt when the archive does not hold what it says, and not-found when it
 * has nothing for the platforms (none: all are meant). */
export function planLoad(contents: Contents, platforms: readonly Platform[] = []): LoadPlan {
  const manifests = findManifests(contents, platforms);
  const images = contents.documents.has("manifest.json")
    ? dockerImages(contents, manifests, platforms)
    : ociImages(contents, manifests, platforms);
  if (images.length > 0) return { images, blobs: compressedBlobs(contents, images) };
  const wanted = platforms.map(formatPlatform).join(", ");
  throw new GantryError("not-found", `The archive has no image${wanted && ` for ${wanted}`}`);
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}

/** Only what a stored manifest speaks of keeps its bytes: a push of that manifest needs them. */
function compressedBlobs(contents: Contents, images: readonly Planned[]): LoadPlan["blobs"] {
  const spokenOf = new Set(images.flatMap(({ manifest }) => (manifest ? layersOf(manifest) : [])));
  return [...contents.layers.values()]
    .filter(({ compression }) => compression === "gzip" || compression === "zstd")
    .map(({ layer, digest, size, compression, isKept }) => ({
      diffId: layer.diffId,
      digest,
      size,
      mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`,
      isKept: isKept && spokenOf.has(digest),
    }));
}

function layersOf(manifest: Uint8Array): string[] {
  const { layers } = parseObject(manifest, "image manifest");
  return descriptorsOf(layers, "layers").map(({ digest }) => digest);
}

// ---- docker-archive

function dockerImages(
  contents: Contents,
  manifests: readonly FoundManifest[],
  platforms: readonly Platform[],
): Planned[] {
  const list = parseList(documentAt(contents, "manifest.json"), "manifest.json");
  return list.flatMap((item) => {
    const { Config, Layers, RepoTags } = item as Record<string, unknown>;
    if (typeof Config !== "string" || !isStrings(Layers ?? [])) {
      throw new GantryError("invalid", "invalid archive: manifest.json lacks Config or Layers");
    }
    const rawConfig = documentAt(contents, Config);
    if (!wantedPlatform(parseImageConfig(rawConfig), platforms)) return [];
    const layers = ((Layers ?? []) as string[]).map((name) => layerAt(contents, name));
    checkLayers(rawConfig, layers);
    const tags = isStrings(RepoTags ?? []) ? ((RepoTags ?? []) as string[]) : [];
    const id = digestOf(rawConfig);
    const manifest = manifests.find(({ raw }) => configDigest(raw) === id);
    const planned: Planned = {
      rawConfig,
      references: tags.map((tag) => formatReference(parseReference(tag))),
      ...(manifest ? { manifest: manifest.raw, manifestType: manifest.mediaType } : {}),
      ...wholeIndex(manifest),
    };
    return [planned, ...companions(contents, manifests, planned)];
  });
}

const wholeIndex = (found: FoundManifest | undefined): { index?: FoundIndex } =>
  found?.index?.isWhole ? { index: found.index } : {};

/** The other images of an index, which manifest.json does not name. */
function companions(
  contents: Contents,
  manifests: readonly FoundManifest[],
  { index, manifest }: Planned,
): Planned[] {
  const others = manifests.filter((one) => index && one.index === index && one.raw !== manifest);
  return others.map(({ raw, mediaType }) => {
    const rawConfig = blobAt(contents, configDigest(raw));
    const listed = descriptorsOf(parseObject(raw, "image manifest")["layers"], "layers");
    checkLayers(
      rawConfig,
      listed.map((descriptor) => layerBlob(contents, descriptor)),
    );
    return { rawConfig, manifest: raw, manifestType: mediaType, references: [], index: index! };
  });
}

function checkLayers(rawConfig: Uint8Array, layers: readonly Layer[]): void {
  const diffIds = parseImageConfig(rawConfig).rootfs.diff_ids;
  if (diffIds.length !== layers.length) {
    const counts = `expected ${layers.length}, got ${diffIds.length}`;
    throw new GantryError("invalid", `invalid manifest, layers length mismatch: ${counts}`);
  }
  for (const [at, diffId] of diffIds.entries()) {
    const got = layers[at]!.diffId;
    if (got === diffId) continue;
    const message = `invalid diffID for layer ${at}: expected "${diffId}", got "${got}"`;
    throw new GantryError("corrupt", message);
  }
}

// ---- OCI layout

function ociImages(
  contents: Contents,
  manifests: readonly FoundManifest[],
  platforms: readonly Platform[],
): Planned[] {
  if (!contents.documents.has("index.json")) {
    throw new GantryError("invalid", "invalid archive: does not contain a manifest.json");
  }
  const images = new Map<string, Planned>();
  for (const found of manifests) {
    const { raw, mediaType, name } = found;
    const manifest = parseObject(raw, "image manifest");
    const rawConfig = blobAt(contents, configDigest(raw));
    if (!wantedPlatform(parseImageConfig(rawConfig), platforms)) continue;
    const layers = descriptorsOf(manifest["layers"], "layers").map((d) => layerBlob(contents, d));
    checkLayers(rawConfig, layers);
    const id = digestOf(rawConfig);
    const image = images.get(id) ?? {
      rawConfig,
      manifest: raw,
      manifestType: mediaType,
      references: [],
      ...wholeIndex(found),
    };
    if (name !== undefined && !image.references.includes(name)) image.references.push(name);
    images.set(id, image);
  }
  return [...images.values()];
}

function findManifests(contents: Contents, platforms: readonly Platform[]): FoundManifest[] {
  const found: FoundManifest[] = [];
  const index = contents.documents.get("index.json");
  if (index !== undefined) walkIndex(contents, index, undefined, platforms, 0, found);
  return found;
}

function walkIndex(
  contents: Contents,
  raw: Uint8Array,
  inherited: string | undefined,
  platforms: readonly Platform[],
  depth: number,
  found: FoundManifest[],
  group?: FoundIndex,
): void {
  if (depth > MANIFEST_DEPTH_MAX)
    throw new GantryError("invalid", "Image indexes are nested too deep");
  const index = parseObject(raw, "image index");
  for (const item of descriptorsOf(index["manifests"], "manifests")) {
    if (found.length > MANIFESTS_MAX) throw new GantryError("invalid", "Too many manifests");
    if (!wantedPlatform(item.platform, platforms)) {
      if (group) keepBeside(contents, group, item);
      continue;
    }
    const name = nameFrom(item.annotations) ?? inherited;
    const data = contents.documents.get(`blobs/sha256/${hexOf(item.digest)}`);
    // docker save --platform writes the whole index but only some of the manifests.
    if (data === undefined && depth > 0) {
      if (group) group.isWhole = false;
      continue;
    }
    const checked = blobAt(contents, item.digest);
    const mediaType = item.mediaType ?? String(parseObject(checked, "manifest")["mediaType"] ?? "");
    if (INDEX_TYPES.has(mediaType)) {
      const { digest } = item;
      const own = group ?? { raw: checked, mediaType, digest, documents: [], isWhole: true };
      walkIndex(contents, checked, name, platforms, depth + 1, found, own);
      if (group) group.documents.push({ raw: checked, mediaType });
    } else if (MANIFEST_TYPES.has(mediaType) && isImage(checked)) {
      const named = name === undefined ? {} : { name };
      found.push({ raw: checked, mediaType, ...named, ...(group && { index: group }) });
    }
  }
}

/** What an index lists beside the images that are wanted: attestations stay with it, and without
 * one of them, or of its images, it is not whole. */
function keepBeside(contents: Contents, group: FoundIndex, item: LooseDescriptor): void {
  const at = (digest: string) => contents.documents.get(`blobs/sha256/${hexOf(digest)}`);
  const raw = at(item.digest);
  const isOther = (item.platform as Partial<Platform> | undefined)?.os === "unknown";
  if (
    raw === undefined ||
    !isOther ||
    !documentDigestMatches(`blobs/sha256/${hexOf(item.digest)}`, raw)
  ) {
    group.isWhole = false;
    return;
  }
  const { config, layers } = parseObject(raw, "manifest");
  group.documents.push({ raw, mediaType: item.mediaType ?? "" });
  for (const { digest, mediaType = "" } of descriptorsOf(
    [config, ...((layers ?? []) as [])],
    "blobs",
  )) {
    const blob = at(digest);
    if (blob === undefined) group.isWhole = false;
    else group.documents.push({ raw: blobAt(contents, digest), mediaType });
  }
}

/** Attestations and artifacts have no image config. */
function isImage(raw: Uint8Array): boolean {
  const config = parseObject(raw, "image manifest")["config"] as
    | { mediaType?: unknown }
    | undefined;
  return (
    config?.mediaType === undefined ||
    config.mediaType === "application/vnd.oci.image.config.v1+json" ||
    config.mediaType === "application/vnd.docker.container.image.v1+json"
  );
}

function wantedPlatform(has: unknown, wanted: readonly Platform[]): boolean {
  if (typeof has !== "object" || has === null) return true;
  const { os = "", architecture = "", variant = "" } = has as Partial<Platform>;
  if (os === "unknown") return false; // attestations
  if (wanted.length === 0) return true;
  return wanted.some(
    (one) =>
      [one.os, ""].includes(os) &&
      [one.architecture, ""].includes(architecture) &&
      (!one.variant || [one.variant, ""].includes(variant)),
  );
}

/** A name that is a reference; a bare tag ("latest") names nothing here. */
function nameFrom(annotations: unknown): string | undefined {
  if (typeof annotations !== "object" || annotations === null) return undefined;
  const record = annotations as Record<string, unknown>;
  const full = record["io.containerd.image.name"];
  const short = record["org.opencontainers.image.ref.name"];
  const text = typeof full === "string" ? full : short;
  if (typeof text !== "string" || (text === short && !/[:/]/.test(text))) return undefined;
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined; // ref.name is free text
  }
}

// ---- reading

type LooseDescriptor = {
  digest: string;
  mediaType?: string;
  platform?: unknown;
  annotations?: unknown;
};

function descriptorsOf(value: unknown, what: string): LooseDescriptor[] {
  if (value === undefined || value === null) return [];
  const sound = (item: unknown): item is LooseDescriptor =>
    typeof item === "object" &&
    item !== null &&
    isDigest(String((item as LooseDescriptor).digest)) &&
    ["string", "undefined"].includes(typeof (item as LooseDescriptor).mediaType);
  if (Array.isArray(value) && value.every(sound)) return value;
  throw new GantryError("invalid", `Invalid image manifest: bad ${what}`);
}

function configDigest(raw: Uint8Array): string {
  const config = parseObject(raw, "image manifest")["config"];
  return descriptorsOf([config], "config")[0]!.digest;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function parseList(raw: Uint8Array, what: string): unknown[] {
  const { list } = parseObject(
    Buffer.concat([Buffer.from('{"list":'), raw, Buffer.from("}")]),
    what,
  );
  if (Array.isArray(list) && list.every((item) => typeof item === "object" && item !== null)) {
    return list;
  }
  throw new GantryError("invalid", `Invalid ${what}: not a list of images`);
}

/** The name that a name means, links followed; a loop ends in a name that nothing has. */
function target(contents: Contents, name: string): string {
  let path = posix.normalize(name).replace(/^\/+/, "");
  for (let hop = 0; hop < 8 && contents.links.has(path); hop++) path = contents.links.get(path)!;
  return path;
}

function documentAt(contents: Contents, name: string): Uint8Array {
  const path = target(contents, name);
  const data = contents.documents.get(path);
  if (data === undefined) {
    throw new GantryError("invalid", `invalid archive: does not contain ${name}`);
  }
  if (documentDigestMatches(path, data)) return data;
  throw new GantryError("corrupt", `${name} does not have the digest of its name`);
}

function blobAt(contents: Contents, digest: string): Uint8Array {
  return documentAt(contents, `blobs/sha256/${hexOf(digest)}`);
}

function layerAt(contents: Contents, name: string): Layer {
  const found = contents.layers.get(target(contents, name));
  if (found === undefined) {
    throw new GantryError("invalid", `invalid archive: does not contain the layer ${name}`);
  }
  return found.layer;
}

function layerBlob(contents: Contents, { digest }: { digest: string }): Layer {
  const path = target(contents, `blobs/sha256/${hexOf(digest)}`);
  const found = contents.layers.get(path);
  if (found !== undefined && found.digest !== digest) {
    throw new GantryError("corrupt", `Layer ${digest} has digest ${found.digest}`);
  }
  return layerAt(contents, path);
}
