// Push: an image's name decides where it goes. Blobs that the registry has are not moved, and what
// was pulled goes on as it came. A successful push is remembered: the next one finds everything.

import { GantryError } from "../../base/index.ts";
import {
  type BlobPlace,
  messagesOf,
  noSuchTag,
  type PushedArtifact,
  type PushImage,
  type PushStore,
  pushImage,
  pushIndex,
} from "../../distribution/index.ts";
import {
  familiarName,
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
} from "../../spec/index.ts";
import type { Layer, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images, Progress } from "../contract.ts";
import { checkImagePlatform, platformImage } from "./find.ts";
import { announceImage } from "./tag.ts";
import { indexOf, type WholeIndex } from "./whole-index.ts";

type PushOptions = Parameters<Images["push"]>[1];

/** Yields docker's progress. Without a tag every tag of the repository goes. */
export async function* pushImages(
  engine: EngineContext,
  name: string,
  o: PushOptions = {},
): AsyncGenerator<Progress> {
  const reference = parseReference(o.tag ? `${name}:${o.tag}` : name, { defaultTag: false });
  const { registry, repository } = reference;
  if (reference.digest !== undefined) {
    throw new GantryError("invalid", "cannot push a digest reference");
  }
  yield { status: `The push refers to repository [${registry}/${repository}]` };
  const { credentials = {} } = o;
  const store = pushStore(engine);
  for (const one of namesMeant(engine, reference)) {
    const named = engine.storage.images.resolve(formatReference(one))!;
    const image = platformImage(engine, named, o.platform, formatReference(one));
    if (o.platform) checkImagePlatform(image, o.platform, familiarReference(one));
    const group = o.allPlatforms
      ? await wholeIndex(engine, image, one)
      : o.platform
        ? undefined
        : await ownIndex(engine, image, one);
    const images = group?.images ?? [image];
    const lease = engine.storage.lease(
      images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)),
    );
    try {
      yield* messagesOf(async (tell, signal) => {
        const given = await Promise.all(
          images.map((each, at) => toPush(engine, each, registry, group?.manifests[at])),
        );
        const request = { reference: one, credentials, tell, signal };
        const digest = group
          ? await pushIndex(engine.registries, store, {
              ...request,
              index: { ...group.document, images: given, artifacts: artifactsOf(group) },
            })
          : await pushImage(engine.registries, store, { ...request, image: given[0]! });
        const name = `${registry}/${repository}@${digest}`;
        await engine.storage.images.tag(image.id, name, group ? { index: digest } : {});
      }, o.signal);
    } finally {
      lease.release();
    }
    announceImage(engine, "push", image.id, familiarReference(one));
  }
}

/** --all-platforms. */
async function wholeIndex(
  engine: EngineContext,
  image: StoredImage,
  reference: Reference,
): Promise<WholeIndex> {
  const own = await ownIndex(engine, image, reference);
  return own ?? (await indexOf(engine, image, { name: familiarReference(reference) }));
}

/** A name that stands for an index means all of it. */
async function ownIndex(
  engine: EngineContext,
  image: StoredImage,
  reference: Reference,
): Promise<WholeIndex | undefined> {
  const index = image.indexes.get(formatReference(reference));
  if (index === undefined) return undefined;
  return await indexOf(engine, image, { name: familiarReference(reference), index });
}

function artifactsOf({ artifacts }: WholeIndex): PushedArtifact[] {
  return artifacts.map(({ raw, descriptor, blobs }) => ({
    ...{ raw, mediaType: descriptor.mediaType, blobs: [...blobs.values()] },
  }));
}

function namesMeant({ storage }: EngineContext, reference: Reference): Reference[] {
  const prefix = `${reference.registry}/${reference.repository}:`;
  const all = storage.images
    .list()
    .flatMap(({ references }) => references)
    .filter((name) => name.startsWith(prefix))
    .sort();
  if (all.length === 0) throw noSuchTag(familiarName(reference));
  if (reference.tag === undefined) return all.map((name) => parseReference(name));
  if (all.includes(formatReference(reference))) return [reference];
  const name = familiarReference(reference);
  throw new GantryError("not-found", `tag does not exist: ${name}`);
}

async function toPush(
  { storage }: EngineContext,
  image: StoredImage,
  registry: string,
  manifest = image.manifest,
): Promise<PushImage> {
  const raw = manifest && (await storage.content.read(manifest.digest).catch(() => undefined));
  return {
    rawConfig: image.rawConfig,
    layers: pushedLayers(storage, image.layers, registry),
    ...(raw && manifest ? { manifest: { raw, mediaType: manifest.mediaType } } : {}),
  };
}

/** Layers with the repositories of `registry` that may have them. */
export function pushedLayers(
  storage: EngineContext["storage"],
  layers: readonly Layer[],
  registry: string,
): PushImage["layers"] {
  const repositories = repositoriesByLayer(storage, registry);
  return layers.map(({ diffId, size, tarSize }) => ({
    ...{ diffId, size, tarSize },
    mountFrom: [...(repositories.get(diffId) ?? [])],
  }));
}

export function pushStore({ storage: { layers, content }, log }: EngineContext): PushStore {
  const named = ({ registry, repository }: BlobPlace): string => `${registry}/${repository}`;
  return {
    tar: (diffId) => layers.tar(diffId),
    openBlob: (digest) => content.open(digest),
    keptBlobs: (diffId) => layers.keptBlobs(diffId).map(({ digest }) => digest),
    async damaged(diffId, digest) {
      log.warn("a kept blob is damaged and set aside", { diffId, digest });
      await content.setAside(digest);
      await layers.dropBlob(digest);
    },
    blobs: (diffId) => layers.blobs(diffId),
    noteBlob: (diffId, blob) => layers.noteBlob(diffId, blob),
    sources: (digest) => layers.sources(digest).map(placeOf),
    noteSource: (digest, place) => layers.noteSource(digest, named(place)),
    forgetSource: (digest, place) => layers.forgetSource(digest, named(place)),
  };
}

function placeOf(name: string): BlobPlace {
  const { registry, repository } = parseReference(name, { defaultTag: false });
  return { registry, repository };
}

/** An image with a digest reference was pulled from that repository or pushed to it. */
function repositoriesByLayer(
  storage: EngineContext["storage"],
  registry: string,
): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { digests, layers } of storage.images.list()) {
    for (const name of digests) {
      const reference = parseReference(name);
      if (reference.registry !== registry) continue;
      for (const { diffId } of layers) {
        found.set(diffId, (found.get(diffId) ?? new Set()).add(reference.repository));
      }
    }
  }
  return found;
}
