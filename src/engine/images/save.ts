// Save: images and their names as one archive. What is being written is leased, so that a removal
// meanwhile does not take a layer away.

import type { Readable } from "node:stream";
import { GantryError, kindOf } from "../../base/index.ts";
import { formatReference, parseReference, type Reference } from "../../spec/index.ts";
import {
  type SavedIndex,
  type SaveRequest,
  type StoredImage,
  saveArchive,
} from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { checkImagePlatform, findImage, platformImage } from "./find.ts";
import { announceImage } from "./tag.ts";
import { indexOf } from "./whole-index.ts";

export async function saveImages(
  engine: EngineContext,
  refs: string[],
  { signal, platform = [] }: Signal & { platform?: string[] } = {},
): Promise<Readable> {
  if (refs.length === 0) throw new GantryError("invalid", "no images to save");
  const named = refs
    .flatMap((ref) => requestsFor(engine, ref))
    .flatMap((request) => ofPlatforms(engine, request, platform));
  for (const { image } of named) checkPlatforms(image, platform, refs[0]!);
  // One platform of an index is saved without it.
  const isWhole = platform.length === 0;
  const requests = isWhole
    ? await Promise.all(named.map((one) => withIndexes(engine, one)))
    : named;
  const images = requests.flatMap(({ image, indexes }) => [
    image,
    ...[...(indexes?.values() ?? [])].flatMap((index) => index.images),
  ]);
  const digests = images.flatMap(({ layers }) => layers.map((layer) => layer.diffId));
  const lease = engine.storage.lease(digests);
  const stream = saveArchive(engine.storage, requests);
  stream.once("close", () => lease.release());
  signal?.addEventListener("abort", () => stream.destroy(), { once: true });
  for (const id of new Set(requests.map(({ image }) => image.id))) {
    announceImage(engine, "save", id, id);
  }
  return stream;
}

/** Those images of an index that are wanted; the first has the names. */
function ofPlatforms(
  engine: EngineContext,
  { image, references }: SaveRequest,
  platforms: readonly string[],
): SaveRequest[] {
  const images = platforms.map((platform) => platformImage(engine, image, platform, references[0]));
  const found = new Map(images.map((one) => [one.id, one]));
  if (found.size > 1) {
    const fitting = [...found.values()].filter((one) => !isRefused(one, platforms));
    return fitting.map((one, at) => ({ image: one, references: at === 0 ? references : [] }));
  }
  return [{ image: [...found.values()][0] ?? image, references }];
}

function isRefused(image: StoredImage, platforms: readonly string[]): boolean {
  try {
    checkPlatforms(image, platforms, "");
    return false;
  } catch {
    return true;
  }
}

/** With the indexes that its names stand for, where all of them is here. */
async function withIndexes(engine: EngineContext, request: SaveRequest): Promise<SaveRequest> {
  const { image, references } = request;
  const indexes = new Map<string, SavedIndex>();
  for (const name of references) {
    const index = image.indexes.get(name);
    if (index === undefined) continue;
    const whole = await indexOf(engine, image, { name, index }).catch(() => undefined);
    if (whole) indexes.set(name, whole);
  }
  return indexes.size === 0 ? request : { ...request, indexes };
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
  const image = named ? findNamed(engine, ref, named) : findImage(engine, ref);
  return [{ image, references: namesMeant(ref, image) }];
}

/** Docker names what is not there as it was written, without the tag that it would have. */
function findNamed(engine: EngineContext, ref: string, { tag, digest }: Reference): StoredImage {
  try {
    return findImage(engine, ref);
  } catch (error) {
    if (kindOf(error) !== "not-found" || tag !== undefined || digest !== undefined) throw error;
    const { detail } = error as GantryError;
    throw new GantryError("not-found", `No such image: ${ref}`, { cause: error, detail });
  }
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
