// Sends the cache of what was built to a registry or to the client's folder, as one manifest that
// names every layer and BuildKit's cache config. mode=min: the layers of the images; mode=max:
// those of every step that was needed.

import { GantryError, messageOf } from "../../../base/index.ts";
import { pushBlobs } from "../../../distribution/index.ts";
import { digestOf } from "../../../spec/index.ts";
import type { Descriptor, Layer } from "../../../storage/index.ts";
import { pushedLayers, pushStore } from "../../images/push.ts";
import type { BuiltImage, VertexReport } from "../job.ts";
import { LayerForms } from "../outputs/layer-forms.ts";
import { CACHE_CONFIG, type CachedStep, encodeCacheConfig } from "./cache-config.ts";
import { type CacheTarget, cacheTargets } from "./cache-places.ts";
import type { CacheImportPlace, CacheJob, CacheOptions } from "./index.ts";

const OCI = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
};
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";

type Target = Exclude<CacheTarget, { kind: "inline" }>;
interface Document {
  raw: Uint8Array;
  mediaType: string;
}
/** What is sent. */
interface CacheArtifact {
  layers: readonly Layer[];
  blobs: readonly Descriptor[];
  config: Uint8Array;
  manifest: Document;
  /** Beside an index: an image manifest that keeps the blobs from a registry's collector. */
  keeper: Document | undefined;
}

export async function exportCaches(
  place: CacheImportPlace,
  job: CacheJob,
  images: readonly BuiltImage[],
  options: CacheOptions,
): Promise<Record<string, string>> {
  const response: Record<string, string> = {};
  const { reporter, signal } = options;
  const forms = new LayerForms(place.engine, { signal });
  try {
    for (const target of cacheTargets(job)) {
      if (target.kind === "inline") continue;
      await reporter.step(`exporting cache to ${target.kind} ${target.name}`, async (vertex) => {
        try {
          const artifact = await prepare(place, target, images, forms, vertex);
          const sending = { place, job, options, forms, target };
          await send(sending, artifact, vertex);
          response["cache.manifest"] = JSON.stringify(descriptorOf(artifact.manifest));
        } catch (error) {
          if (signal.aborted || !target.ignoreError) throw error;
          const short = `cache was not exported to ${target.name}: ${messageOf(error)}`;
          vertex.log(`${short}\n`);
          const warning = { vertex: vertex.digest, level: 1, short, detail: [], url: "" };
          reporter.tell({ kind: "warning", warning });
        }
      });
    }
  } finally {
    await forms.release(new Set());
  }
  return response;
}

/** The steps of every image once, with what the store knows of them. */
function stepsOf(place: CacheImportPlace, images: readonly BuiltImage[]): CachedStep[] {
  const steps = new Map<string, CachedStep>();
  for (const { steps: built } of images) {
    for (const { key, layer, name, createdAtMs } of built) {
      const inputs = place.cache.inputsOf(key);
      steps.set(key, { key, layer, description: name, createdAtMs, inputs });
    }
  }
  return [...steps.values()];
}

async function prepare(
  place: CacheImportPlace,
  target: Target,
  images: readonly BuiltImage[],
  forms: LayerForms,
  vertex: VertexReport,
): Promise<CacheArtifact> {
  vertex.log("preparing build cache for export\n");
  const { storage } = place.engine;
  const inImages = new Set(images.flatMap(({ layers }) => layers));
  const all = stepsOf(place, images);
  const steps = all.filter(
    ({ layer }) => target.mode === "max" || layer === undefined || inImages.has(layer),
  );
  const diffIds = [...new Set(steps.flatMap(({ layer }) => layer ?? []))];
  const layers = diffIds.map((diffId) => {
    const layer = storage.layers.get(diffId);
    if (layer) return layer;
    throw new GantryError("corrupt", `Layer ${diffId} is missing`);
  });
  const hasBytes = target.kind === "local";
  const shaped = await Promise.all(
    diffIds.map((diffId) => forms.shape(diffId, target.form, { hasBytes, isOwn: false })),
  );
  const blobs = shaped.map((blob) => ({
    ...blob,
    mediaType: target.ociTypes ? blob.mediaType : dockerType(blob.mediaType),
  }));
  const cached = diffIds.map((diffId, at) => ({ diffId, blob: blobs[at]! }));
  const config = encodeCacheConfig({ layers: cached, steps });
  return { layers, blobs, config, ...manifestOf(target, config, blobs) };
}

const dockerType = (mediaType: string): string =>
  mediaType.endsWith("gzip") ? `${DOCKER_LAYER}.gzip` : DOCKER_LAYER;

function manifestOf(
  { imageManifest, ociTypes }: Target,
  config: Uint8Array,
  blobs: readonly Descriptor[],
): Pick<CacheArtifact, "manifest" | "keeper"> {
  const described = { mediaType: CACHE_CONFIG, digest: digestOf(config), size: config.length };
  const image = jsonOf(OCI.manifest, { config: described, layers: blobs });
  if (imageManifest) return { manifest: image, keeper: undefined };
  const type = ociTypes ? OCI.index : DOCKER_LIST;
  return { manifest: jsonOf(type, { manifests: [...blobs, described] }), keeper: image };
}

function jsonOf(mediaType: string, fields: object): Document {
  const raw = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }, undefined, 2));
  return { raw, mediaType };
}

const descriptorOf = ({ raw, mediaType }: Document): Descriptor => ({
  ...{ mediaType, digest: digestOf(raw), size: raw.length },
});

interface Sending {
  place: CacheImportPlace;
  job: CacheJob;
  options: CacheOptions;
  forms: LayerForms;
  target: Target;
}

async function send(
  { place, job, options, forms, target }: Sending,
  artifact: CacheArtifact,
  vertex: VertexReport,
): Promise<void> {
  const { engine } = place;
  const { signal } = options;
  const { layers, blobs, config, manifest, keeper } = artifact;
  if (target.kind === "registry") {
    const { reference, insecure } = target;
    const credentials = (await job.credentials(reference.registry, { signal })) ?? {};
    const tell = () => {};
    await pushBlobs(engine.registries, pushStore(engine), {
      ...{ reference, credentials, insecure, tell, signal },
      blobs: {
        layers: pushedLayers(engine.storage, layers, reference.registry),
        ...{ forms: blobs, documents: [config] },
        manifests: keeper ? [keeper, manifest] : [manifest],
      },
    });
    vertex.log(`writing cache manifest ${digestOf(manifest.raw)}\n`);
    return;
  }
  const { session } = job;
  if (!session) throw new GantryError("invalid", "--cache-to type=local needs a session");
  const store = session.contentStore(`local:${target.store}`);
  const put = async (blob: Descriptor, bytes: () => Promise<AsyncIterable<Uint8Array>>) => {
    if ((await store.size(blob.digest, { signal })) === blob.size) return;
    await store.write(blob, await bytes(), { signal });
    vertex.status(`writing layer ${blob.digest}`, {
      ...{ current: blob.size, total: blob.size, done: true },
    });
  };
  for (const [at, blob] of blobs.entries()) {
    await put(blob, () => forms.open(layers[at]!.diffId, blob.digest));
  }
  const small = { mediaType: CACHE_CONFIG, digest: digestOf(config), size: config.length };
  await put(small, async () => once(config));
  await put(descriptorOf(manifest), async () => once(manifest.raw));
  vertex.log(`writing cache manifest ${digestOf(manifest.raw)}\n`);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
