// `docker save`: one tar that is a docker-archive (manifest.json, repositories) and an OCI layout
// (index.json, oci-layout, blobs/sha256/…) at once, as docker 25 and later write it. Layers are
// uncompressed and byte-exact, or as they came where those bytes are kept. Everything is in a fixed
// order with fixed times, so that saving twice gives the same bytes.

import { Readable } from "node:stream";
import { digestOf, familiarReference, hexOf, parseReference } from "../spec/index.ts";
import type { Descriptor, Storage, StoredImage } from "./contract.ts";
import { parseObject } from "./image-config.ts";
import { tarEnd, tarHeader, tarPadding } from "./tar-header.ts";

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";

export interface SaveRequest {
  image: StoredImage;
  /** Normalised tags to write; none for an image that was asked for by its id. */
  references: readonly string[];
  /** Of tags that stand for an index. */
  indexes?: ReadonlyMap<string, SavedIndex>;
}
/** An index with all that it lists. */
export interface SavedIndex {
  document: { raw: Uint8Array; mediaType: string };
  images: readonly StoredImage[];
  /** Of the images, in their order. */
  manifests: readonly Descriptor[];
  artifacts: readonly {
    descriptor: Descriptor;
    raw: Uint8Array;
    blobs: ReadonlyMap<string, Uint8Array>;
  }[];
}

type Packed = {
  request: SaveRequest;
  image: StoredImage;
  manifest: Uint8Array;
  descriptor: Descriptor;
  /** The form in which each layer is written. */
  layers: readonly (Descriptor & { diffId: string })[];
};
type SaveStorage = Pick<Storage, "layers" | "content">;

/** The archive of these images. Layers are read while the stream is; the caller holds a lease. */
export function saveArchive(storage: SaveStorage, requests: readonly SaveRequest[]): Readable {
  return Readable.from(archive(storage, mergeRequests(requests)), {
    objectMode: false,
    highWaterMark: 256 * 1024,
  });
}

/** One entry an image, however many of its names were asked for. */
function mergeRequests(requests: readonly SaveRequest[]): SaveRequest[] {
  const merged = new Map<string, SaveRequest>();
  for (const { image, references, indexes = new Map() } of requests) {
    const before = merged.get(image.id);
    merged.set(image.id, {
      image,
      references: [...new Set([...(before?.references ?? []), ...references])],
      indexes: new Map([...(before?.indexes ?? []), ...indexes]),
    });
  }
  return [...merged.values()];
}

async function* archive(
  storage: SaveStorage,
  requests: readonly SaveRequest[],
): AsyncGenerator<Uint8Array> {
  const packed: Packed[] = [];
  const members: Packed[] = [];
  const indexes = new Map<string, SavedIndex>();
  for (const request of requests) {
    packed.push(await pack(storage, request));
    for (const [name, index] of request.indexes ?? []) {
      const found = await packMembers(storage, request, index);
      if (found === undefined) continue;
      members.push(...found);
      indexes.set(name, index);
    }
  }
  yield tarHeader("blobs/", { mode: 0o755, type: "5" });
  yield tarHeader("blobs/sha256/", { mode: 0o755, type: "5" });
  const done = new Set<string>();
  function* small(digest: string, raw: Uint8Array): Generator<Uint8Array> {
    if (!done.has(digest)) yield* file(blobPath(digest), raw);
    done.add(digest);
  }
  for (const { image, manifest, descriptor, layers } of [...packed, ...members]) {
    for (const layer of layers) {
      if (!done.has(layer.digest)) yield* layerFile(storage, layer);
      done.add(layer.digest);
    }
    yield* small(image.id, image.rawConfig);
    yield* small(descriptor.digest, manifest);
  }
  for (const { document, artifacts } of indexes.values()) {
    for (const { raw, descriptor, blobs } of artifacts) {
      for (const [digest, bytes] of blobs) yield* small(digest, bytes);
      yield* small(descriptor.digest, raw);
    }
    yield* small(digestOf(document.raw), document.raw);
  }
  yield* file("index.json", json(ociIndex(packed, indexes)));
  yield* file("manifest.json", json(packed.map(dockerManifest)));
  yield* file("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  const repositories = dockerRepositories(requests);
  if (Object.keys(repositories).length > 0) yield* file("repositories", json(repositories));
  yield tarEnd;
}

async function* layerFile(
  { layers, content }: SaveStorage,
  { digest, diffId, size }: Packed["layers"][number],
): AsyncGenerator<Uint8Array> {
  yield tarHeader(blobPath(digest), { size });
  const bytes = digest === diffId ? await layers.tar(diffId) : await content.open(digest);
  yield* bytes as AsyncIterable<Uint8Array>;
  yield tarPadding(size);
}

/** The images of an index under the very manifests that it lists; undefined when a blob of them is
 * not here. */
async function packMembers(
  storage: SaveStorage,
  request: SaveRequest,
  { images, manifests }: SavedIndex,
): Promise<Packed[] | undefined> {
  const found: Packed[] = [];
  for (const [at, image] of images.entries()) {
    const descriptor = manifests[at]!;
    const layers = await ownLayers(storage, image, descriptor);
    if (layers === undefined) return undefined;
    const manifest = await storage.content.read(descriptor.digest);
    found.push({ request, image, manifest, descriptor, layers });
  }
  return found;
}

/** With its own manifest where every blob of that is here, so that digests come back; otherwise
 * with one over the plain layers. */
async function pack(storage: SaveStorage, request: SaveRequest): Promise<Packed> {
  const { image } = request;
  const own = image.manifest && (await ownLayers(storage, image, image.manifest));
  if (own !== undefined && image.manifest !== undefined) {
    const manifest = await storage.content.read(image.manifest.digest);
    return { request, image, manifest, descriptor: image.manifest, layers: own };
  }
  const layers = image.layers.map((layer) => ({ ...layerDescriptor(layer), diffId: layer.diffId }));
  const manifest = json(ociManifest(image));
  const digest = digestOf(manifest);
  const descriptor = { mediaType: OCI_MANIFEST, digest, size: manifest.length };
  return { request, image, manifest, descriptor, layers };
}

async function ownLayers(
  { content, layers }: SaveStorage,
  image: StoredImage,
  { digest }: Descriptor,
): Promise<Packed["layers"] | undefined> {
  const raw = await content.read(digest).catch(() => undefined);
  if (raw === undefined) return undefined;
  const listed = (parseObject(raw, "image manifest")["layers"] ?? []) as Descriptor[];
  if (listed.length !== image.layers.length) return undefined;
  const found: (Descriptor & { diffId: string })[] = [];
  for (const [at, { diffId }] of image.layers.entries()) {
    const { mediaType, digest, size } = listed[at]!;
    const kept = digest === diffId || layers.keptBlobs(diffId).some((b) => b.digest === digest);
    if (!kept || !digest.startsWith("sha256:")) return undefined;
    found.push({ mediaType, digest, size, diffId });
  }
  return found;
}

function* file(name: string, data: Uint8Array): Generator<Uint8Array> {
  yield tarHeader(name, { size: data.length });
  yield data;
  yield tarPadding(data.length);
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function blobPath(digest: string): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

function layerDescriptor({ diffId, tarSize }: { diffId: string; tarSize: number }): Descriptor {
  return { mediaType: OCI_LAYER, digest: diffId, size: tarSize };
}

function ociManifest(image: StoredImage): object {
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: image.id, size: image.rawConfig.length },
    layers: image.layers.map(layerDescriptor),
  };
}

function ociIndex(packed: readonly Packed[], indexes: ReadonlyMap<string, SavedIndex>): object {
  const manifests = packed.flatMap(({ request, descriptor }) => {
    if (request.references.length === 0) return [descriptor];
    return request.references.map((reference) => ({
      ...indexDescriptor(indexes.get(reference), descriptor),
      annotations: {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": parseReference(reference).tag ?? "latest",
      },
    }));
  });
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
}

/** What a name stands for: an index, or the image. */
function indexDescriptor(index: SavedIndex | undefined, image: Descriptor): Descriptor {
  if (index === undefined) return image;
  const { raw, mediaType } = index.document;
  return { mediaType, digest: digestOf(raw), size: raw.length };
}

function dockerManifest({ request: { image, references }, layers }: Packed): object {
  return {
    Config: blobPath(image.id),
    RepoTags: references.length === 0 ? null : references.map(familiar),
    Layers: layers.map(({ digest }) => blobPath(digest)),
    LayerSources: Object.fromEntries(
      layers.map(({ diffId, mediaType, digest, size }) => [diffId, { mediaType, digest, size }]),
    ),
  };
}

function dockerRepositories(requests: readonly SaveRequest[]): Record<string, object> {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, references } of requests) {
    const top = image.layers.at(-1);
    if (top === undefined) continue;
    for (const name of references.map(familiar)) {
      const colon = name.lastIndexOf(":");
      const tags = (repositories[name.slice(0, colon)] ??= {});
      tags[name.slice(colon + 1)] = hexOf(top.diffId);
    }
  }
  return repositories;
}

function familiar(reference: string): string {
  return familiarReference(parseReference(reference));
}
