// Save: images and their names as one archive. What is being written is leased, so that a removal
// meanwhile does not take a layer away.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import { formatReference, parseReference, type Reference } from "../../spec/index.ts";
import { type SaveRequest, type StoredImage, saveArchive } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { checkImagePlatform, findImage } from "./find.ts";
import { announceImage } from "./tag.ts";

export async function saveImages(
  engine: EngineContext,
  refs: string[],
  { signal, platform = [] }: Signal & { platform?: string[] } = {},
): Promise<Readable> {
  if (refs.length === 0) throw new GantryError("invalid", "no images to save");
  const requests = refs.flatMap((ref) => requestsFor(engine, ref));
  for (const { image } of requests) checkPlatforms(image, platform, refs[0]!);
  const digests = requests.flatMap(({ image }) => image.layers.map((layer) => layer.diffId));
  const lease = engine.storage.lease(digests);
  const stream = saveArchive(engine.storage, requests);
  stream.once("close", () => lease.release());
  signal?.addEventListener("abort", () => stream.destroy(), { once: true });
  for (const { image } of requests) announceImage(engine, "save", image.id, image.id);
  return stream;
}

/** An image here is of one platform: any of those that are asked for will do. */
function checkPlatforms(image: StoredImage, platforms: readonly string[], ref: string): void {
  const failures: unknown[] = [];
  for (const platform of platforms) {
    try {
      checkImagePlatform(image, platform, ref);
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** A repository without a tag means all its tags; an id means an image without names. */
function requestsFor(engine: EngineContext, ref: string): SaveRequest[] {
  const named = referenceOf(ref);
  if (named && named.tag === undefined && named.digest === undefined) {
    const prefix = `${formatReference(named)}:`;
    const all = engine.storage.images.list().flatMap((image): SaveRequest[] => {
      const references = image.references.filter((reference) => reference.startsWith(prefix));
      return references.length > 0 ? [{ image, references }] : [];
    });
    if (all.length > 0) return all;
  }
  const image = findImage(engine, ref);
  return [{ image, references: namesMeant(ref, image) }];
}

function referenceOf(ref: string): Reference | undefined {
  try {
    return parseReference(ref, { defaultTag: false });
  } catch {
    return undefined;
  }
}

function namesMeant(ref: string, image: StoredImage): string[] {
  const hex = ref.replace(/^sha256:/, "");
  if (image.id.startsWith(`sha256:${hex}`)) return [];
  const wanted = formatReference(parseReference(ref));
  return image.references.filter((reference) => reference === wanted);
}
