// The index by which an image came, when every image that it lists is here: only then can it go
// on as a whole.

import { GantryError } from "../../base/index.ts";
import { listedManifests } from "../../distribution/index.ts";
import type { Descriptor, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";

export interface WholeIndex {
  document: { raw: Uint8Array; mediaType: string };
  /** In the order of the index. */
  manifests: Descriptor[];
  images: StoredImage[];
}

/** Throws not-found when the image came without an index, conflict when some of it is missing. */
export async function indexOf(
  { storage }: EngineContext,
  image: StoredImage,
  name: string,
): Promise<WholeIndex> {
  for (const { digest, mediaType } of image.documents) {
    const raw = await storage.content.read(digest);
    const listed = listedManifests(raw, mediaType);
    if (listed === undefined) continue;
    const all = storage.images.list();
    const images: StoredImage[] = [];
    const missing: string[] = [];
    for (const { digest: wanted, platform } of listed) {
      const found = all.find(({ documents }) => documents.some((has) => has.digest === wanted));
      if (found) images.push(found);
      else missing.push(platform ? [platform.os, platform.architecture].join("/") : wanted);
    }
    if (missing.length === 0) return { document: { raw, mediaType }, manifests: listed, images };
    throw new GantryError(
      "conflict",
      `the index of ${name} lists images that are not here: ${missing.join(", ")}. ` +
        "Pull them with --platform, or push without --all-platforms",
    );
  }
  throw new GantryError("not-found", `${name} came without an index: it has one platform`);
}
