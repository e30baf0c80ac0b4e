// The index by which an image came, when every image that it lists is here: only then can it go
// on as a whole.

import { GantryError } from "../../base/index.ts";
import { listedManifests } from "../../distribution/index.ts";
import type { Descriptor, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";

export interface WholeIndex {
  document: { raw: Uint8Array; mediaType: string };
  /** Of the images, in the order of the index. */
  manifests: Descriptor[];
  images: StoredImage[];
  /** The other manifests that it lists, attestations, with what they refer to. */
  artifacts: Artifact[];
}
export interface Artifact {
  descriptor: Descriptor;
  raw: Uint8Array;
  /** By digest. */
  blobs: Map<string, Uint8Array>;
}

/** Throws not-found when the image came without an index, conflict when some of it is missing. */
export async function indexOf(
  { storage }: EngineContext,
  image: StoredImage,
  { name, index }: { name: string; index?: string },
): Promise<WholeIndex> {
  const documents = image.documents.filter(({ digest }) => !index || digest === index);
  for (const { digest, mediaType } of documents) {
    const raw = await storage.content.read(digest);
    const listed = listedManifests(raw, mediaType);
    if (listed === undefined) continue;
    const all = storage.images.list();
    const images: StoredImage[] = [];
    const missing: string[] = [];
    const manifests: Descriptor[] = [];
    const artifacts: Artifact[] = [];
    for (const { platform, ...descriptor } of listed) {
      const wanted = descriptor.digest;
      const artifact =
        platform?.os === "unknown" ? await artifactOf(storage, descriptor) : undefined;
      if (artifact) {
        artifacts.push(artifact);
        continue;
      }
      manifests.push(descriptor);
      const found = all.find(({ documents }) => documents.some((has) => has.digest === wanted));
      if (found) images.push(found);
      else missing.push(platform ? [platform.os, platform.architecture].join("/") : wanted);
    }
    if (missing.length === 0) return { document: { raw, mediaType }, manifests, images, artifacts };
    throw new GantryError(
      "conflict",
      `the index of ${name} lists images that are not here: ${missing.join(", ")}. ` +
        "Pull them with --platform, or push without --all-platforms",
    );
  }
  throw new GantryError("not-found", `${name} came without an index: it has one platform`);
}

/** A manifest that is no image's, when all of it is here. */
async function artifactOf(
  { images, content }: EngineContext["storage"],
  descriptor: Descriptor,
): Promise<Artifact | undefined> {
  if (images.document(descriptor.digest) === undefined) return undefined;
  try {
    const raw = await content.read(descriptor.digest);
    const { config, layers } = JSON.parse(Buffer.from(raw).toString("utf8")) as {
      config: Descriptor;
      layers: Descriptor[];
    };
    const blobs = new Map<string, Uint8Array>();
    for (const { digest } of [config, ...layers]) blobs.set(digest, await content.read(digest));
    return { descriptor, raw, blobs };
  } catch {
    return undefined; // not whole: as if it were not here
  }
}
