// Remove: untags a name, and deletes the image with its last one, by docker's rules of what is in
// the way and what force overrides.

import { GantryError } from "../../base/index.ts";
import { formatReference, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import { type ContainerRecord, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { companionIds, companionsOf, siblingsOf } from "./companions.ts";
import { checkImagePlatform, findImage, hostPlatform, isFor } from "./find.ts";
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
  const siblings = siblingsOf(engine.storage.images.list(), image, ref);
  const staying = othersThan(o.platforms ?? [], [image, ...siblings], ref);
  if (staying.length > 0) {
    const doomed = [image, ...siblings].filter((one) => !staying.includes(one));
    return await removePlatforms(engine, { ref, doomed, staying }, o);
  }
  const named = isId(ref, image) ? undefined : referenceOf(ref, image);
  if (named === undefined) {
    checkDeletable(engine, image, ref, o.force === true);
    for (const name of namesOf(image)) await untag(engine, image, name, removed);
    await deleteImage(engine, image, removed, o);
  } else {
    checkNotLastOfUsed(engine, image, ref, o.force === true);
    for (const name of [named, ...digestsLeft(named, image)]) {
      await untag(engine, image, name, removed);
    }
    if (!isNeeded(engine, image.id)) await deleteImage(engine, image, removed, o);
  }
  await deleteCompanions(engine, companions, removed, o);
  return removed;
}

const namesOf = ({ references, digests }: StoredImage): string[] => [...references, ...digests];

/** With the last tag of a repository go the digests that stand beside it. */
function digestsLeft(removed: string, { references, digests }: StoredImage): string[] {
  if (removed.includes("@")) return [];
  const repository = repositoryOf(removed);
  const others = references.filter((name) => name !== removed);
  if (others.some((name) => repositoryOf(name) === repository)) return [];
  return digests.filter((name) => repositoryOf(name) === repository);
}

const repositoryOf = (name: string): string => {
  const { registry, repository } = parseReference(name);
  return `${registry}/${repository}`;
};

/** Names, containers and children keep an image, and so does an index that a name stands for. */
function isNeeded(engine: EngineContext, id: string): boolean {
  const { images } = engine.storage;
  const image = images.get(id);
  if (image === undefined || namesOf(image).length > 0) return image !== undefined;
  if (usersOf(engine, image).length > 0 || hasChildren(engine, image)) return true;
  return companionIds(images.list()).has(id);
}

function checkNotLastOfUsed(
  engine: EngineContext,
  image: StoredImage,
  ref: string,
  force: boolean,
): void {
  const user = force || !hasOneName(image) ? undefined : usersOf(engine, image)[0];
  if (user === undefined) return;
  throw new GantryError(
    "conflict",
    `conflict: unable to remove repository reference ${JSON.stringify(ref)} (must force) - ` +
      `container ${short(user.id)} is using its referenced image ${short(image.id)}`,
  );
}

/** A tag and the digests of its repository count as one. */
function hasOneName(image: StoredImage): boolean {
  if (namesOf(image).length <= 1) return true;
  return image.references.length <= 1 && new Set(namesOf(image).map(repositoryOf)).size === 1;
}

/** The images that are of none of the platforms; throws not-found where one is of no image. */
function othersThan(
  platforms: readonly string[],
  images: readonly StoredImage[],
  ref: string,
): StoredImage[] {
  if (platforms.length === 0) return [];
  for (const platform of platforms) {
    const found = images.find((image) => isFor(image, platform)) ?? images[0]!;
    checkImagePlatform(found, platform, ref);
  }
  return images.filter((image) => !platforms.some((platform) => isFor(image, platform)));
}

/** Some platforms of a name go; names that these have pass on to one that stays. Commit point: the
 * first name is passed on, or the first image deleted. */
async function removePlatforms(
  engine: EngineContext,
  {
    ref,
    doomed,
    staying,
  }: { ref: string; doomed: readonly StoredImage[]; staying: readonly StoredImage[] },
  o: RemoveImageOptions,
): Promise<RemovedItem[]> {
  if (!o.force) {
    throw new GantryError(
      "invalid",
      "Content will be removed from all images referencing this variant. " +
        "Use \u2014-force to force delete.", // dockerd's dash
    );
  }
  for (const one of doomed) checkDeletable(engine, one, one.id, true);
  const heirs = doomed.map((one) => heirsOf(one, staying, ref));
  const { images } = engine.storage;
  for (const [name, { heir, ...of }] of heirs.flatMap((one) => [...one])) {
    await images.tag(heir.id, name, of);
  }
  const removed: RemovedItem[] = [];
  for (const one of doomed) await deleteImage(engine, one, removed, o);
  return removed;
}

type Heir = { heir: StoredImage; index?: string; origin?: string };

/** Who gets the names of an image; throws conflict where nobody can take a tag. */
function heirsOf(
  image: StoredImage,
  staying: readonly StoredImage[],
  ref: string,
): Map<string, Heir> {
  const heirs = new Map<string, Heir>();
  for (const name of [...image.references, ...image.digests]) {
    const index = image.indexes.get(name);
    const origin = image.origins.get(name);
    const wanted = index ?? origin;
    const fitting = staying.filter(({ documents }) => documents.some((d) => d.digest === wanted));
    const heir = fitting.find(isForHost) ?? fitting[0];
    if (heir) heirs.set(name, { heir, ...(index && { index }), ...(origin && { origin }) });
    else if (!name.includes("@")) {
      const why = `${familiar(name)} means this platform alone`;
      throw new GantryError("conflict", `conflict: unable to delete ${short(ref)} - ${why}`);
    }
  }
  return heirs;
}

const isForHost = (image: StoredImage): boolean => {
  const { os, architecture } = hostPlatform();
  return isFor(image, `${os}/${architecture}`);
};

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
  if (!hasOneName(image)) {
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
