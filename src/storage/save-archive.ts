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
}

type Packed = {
  request: SaveRequest;
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
  for (const { image, references } of requests) {
    const before = merged.get(image.id)?.references ?? [];
    merged.set(image.id, { image, references: [...new Set([...before, ...references])] });
  }
  return [...merged.values()];
}

async function* archive(
  storage: SaveStorage,
  requests: readonly SaveRequest[],
): AsyncGenerator<Uint8Array> {
  const packed: Packed[] = [];
  for (const request of requests) packed.push(await pack(storage, request));
  yield tarHeader("blobs/", { mode: 0o755, type: "5" });
  yield tarHeader("blobs/sha256/", { mode: 0o755, type: "5" });
  const done = new Set<string>();
  for (const { request, manifest, descriptor, layers } of packed) {
    const { image } = request;
    for (const { digest, diffId, size } of layers) {
      if (done.has(digest)) continue;
      done.add(digest);
      yield tarHeader(blobPath(digest), { size });
      const isTar = digest === diffId;
      const bytes = isTar ? await storage.layers.tar(diffId) : await storage.content.open(digest);
      yield* bytes as AsyncIterable<Uint8Array>;
      yield tarPadding(size);
    }
    if (!done.has(image.id)) yield* file(blobPath(image.id), image.rawConfig);
    if (!done.has(descriptor.digest)) yield* file(blobPath(descriptor.digest), manifest);
    done.add(image.id).add(descriptor.digest);
  }
  yield* file("index.json", json(ociIndex(packed)));
  yield* file("manifest.json", json(packed.map(dockerManifest)));
  yield* file("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  const repositories = dockerRepositories(requests);
  if (Object.keys(repositories).length > 0) yield* file("repositories", json(repositories));
  yield tarEnd;
}

/** With its own manifest where every blob of that is here, so that digests come back; otherwise
 * with one over the plain layers. */
async function pack(storage: SaveStorage, request: SaveRequest): Promise<Packed> {
  const { image } = request;
  const own = image.manifest && (await ownLayers(storage, image, image.manifest));
  if (own !== undefined && image.manifest !== undefined) {
    const manifest = await storage.content.read(image.manifest.digest);
    return { request, manifest, descriptor: image.manifest, layers: own };
  }
  const layers = image.layers.map((layer) => ({ ...layerDescriptor(layer), diffId: layer.diffId }));
  const manifest = json(ociManifest(image));
  const digest = digestOf(manifest);
  const descriptor = { mediaType: OCI_MANIFEST, digest, size: manifest.length };
  return { request, manifest, descriptor, layers };
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

function ociIndex(packed: readonly Packed[]): object {
  const manifests = packed.flatMap(({ request, descriptor }) => {
    if (request.references.length === 0) return [descriptor];
    return request.references.map((reference) => ({
      ...descriptor,
      annotations: {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": parseReference(reference).tag ?? "latest",
      },
    }));
  });
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
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
