// Remove: untags a name, and deletes the image with its last one, by docker's rules of what is in
// the way and what force overrides.

import { GantryError } from "../../base/index.ts";
import { familiarName, formatReference, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import { type ContainerRecord, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { companionIds, companionsOf } from "./companions.ts";
import { checkImagePlatform, findImage, isFor } from "./find.ts";
import { familiar } from "./render.ts";
import { announceImage } from "./tag.ts";

export type RemovedItem = { Untagged: string } | { Deleted: string };
export interface RemoveImageOptions {
  force?: boolean;
  noPrune?: boolean;
  /** Only these, "linux/arm64"; none: all. */
  platforms?: string[];
}

/** Commit point: the first name is untagged. */
export async function removeImage(
  engine: EngineContext,
  ref: string,
  o: Signal & RemoveImageOptions = {},
): Promise<RemovedItem[]> {
  const image = findImage(engine, ref);
  const removed: RemovedItem[] = [];
  const companions = companionsOf(engine.storage.images.list(), image);
  checkPlatforms([image, ...companions], o.platforms ?? [], ref);
  const named = isId(ref, image) ? undefined : referenceOf(ref, image);
  if (named !== undefined) {
    const last = image.references.length <= 1;
    const user = last ? usersOf(engine, image)[0] : undefined;
    if (user && !o.force) {
      throw new GantryError(
        "conflict",
        `conflict: unable to remove repository reference ${JSON.stringify(ref)} (must force) - ` +
          `container ${short(user.id)} is using its referenced image ${short(image.id)}`,
      );
    }
    await untag(engine, image, named, removed);
    if (!last) return removed;
    // What still uses the image keeps it, now without a name.
    if (usersOf(engine, image).length > 0 || hasChildren(engine, image)) {
      await deleteCompanions(engine, companions, removed, o);
      return removed;
    }
  } else {
    checkDeletable(engine, image, ref, o.force === true);
    for (const reference of image.references) await untag(engine, image, reference, removed);
  }
  await deleteImage(engine, image, removed, o);
  await deleteCompanions(engine, companions, removed, o);
  return removed;
}

/** An image goes as a whole: without some of its platforms its index would say what is not so. */
function checkPlatforms(
  images: readonly StoredImage[],
  platforms: readonly string[],
  ref: string,
): void {
  for (const platform of platforms) {
    const found = images.find((image) => isFor(image, platform)) ?? images[0]!;
    checkImagePlatform(found, platform, ref);
  }
  const left = images.filter((image) => !platforms.some((platform) => isFor(image, platform)));
  if (platforms.length === 0 || left.length === 0) return;
  throw new GantryError(
    "not-implemented",
    `removing only some platforms of ${ref} is not supported: remove the image as a whole`,
  );
}

/** The other platforms of an index that has lost its name, unless something needs them. */
async function deleteCompanions(
  engine: EngineContext,
  companions: readonly StoredImage[],
  removed: RemovedItem[],
  o: RemoveImageOptions,
): Promise<void> {
  const still = companionIds(engine.storage.images.list());
  for (const { id } of companions) {
    const image = engine.storage.images.get(id);
    if (!image || image.references.length > 0 || still.has(id)) continue;
    if (usersOf(engine, image).length > 0 || hasChildren(engine, image)) continue;
    await deleteImage(engine, image, removed, o);
  }
}

/** `ref` is an id or a prefix of one, rather than a name. */
function isId(ref: string, image: StoredImage): boolean {
  const hex = ref.replace(/^sha256:/, "");
  if (!/^[0-9a-f]+$/.test(hex) || !image.id.slice("sha256:".length).startsWith(hex)) return false;
  return referenceOf(ref, image) === undefined;
}

function referenceOf(ref: string, image: StoredImage): string | undefined {
  try {
    const wanted = formatReference(parseReference(ref));
    return [...image.references, ...image.digests].find((reference) => reference === wanted);
  } catch {
    return undefined;
  }
}

async function untag(
  engine: EngineContext,
  image: StoredImage,
  reference: string,
  removed: RemovedItem[],
): Promise<void> {
  await engine.storage.images.untag(reference);
  announceImage(engine, "untag", image.id, image.id);
  removed.push({ Untagged: familiar(reference) });
}

function checkDeletable(
  engine: EngineContext,
  image: StoredImage,
  ref: string,
  force: boolean,
): void {
  const refuse = (how: string, why: string): never => {
    throw new GantryError("conflict", `conflict: unable to delete ${short(ref)} (${how}) - ${why}`);
  };
  const users = usersOf(engine, image);
  const running = users.find(isRunning);
  if (running) {
    refuse("cannot be forced", `image is being used by running container ${short(running.id)}`);
  }
  if (hasChildren(engine, image)) {
    refuse("cannot be forced", "image has dependent child images");
  }
  if (force) return;
  const repositories = new Set(
    image.references.map((reference) => familiarName(parseReference(reference))),
  );
  if (repositories.size > 1) {
    refuse("must be forced", "image is referenced in multiple repositories");
  }
  const stopped = users[0];
  if (stopped) {
    refuse("must be forced", `image is being used by stopped container ${short(stopped.id)}`);
  }
}

/** Deletes the image, and then parents that nothing names or needs any more. */
export async function deleteImage(
  engine: EngineContext,
  image: StoredImage,
  removed: RemovedItem[],
  o: RemoveImageOptions,
): Promise<void> {
  const chainIds = await engine.storage.images.remove(image.id);
  announceImage(engine, "delete", image.id, image.id);
  removed.push({ Deleted: image.id });
  for (const chainId of chainIds) removed.push({ Deleted: chainId });
  const parent = image.parent === undefined ? undefined : engine.storage.images.get(image.parent);
  if (o.noPrune || !parent || parent.references.length > 0) return;
  if (usersOf(engine, parent).length > 0 || hasChildren(engine, parent)) return;
  await deleteImage(engine, parent, removed, o);
}

export function usersOf(engine: EngineContext, image: StoredImage): ContainerRecord[] {
  return engine.containers.all().filter((c) => c.imageId === image.id);
}

function hasChildren(engine: EngineContext, image: StoredImage): boolean {
  return engine.storage.images.children(image.id).length > 0;
}

const short = (id: string): string =>
  /^(sha256:)?[0-9a-f]{12,}$/.test(id) ? id.replace(/^sha256:/, "").slice(0, 12) : id;
