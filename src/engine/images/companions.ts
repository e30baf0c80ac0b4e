// A name may stand for an index: it leads to the image for this machine (or that was pulled last),
// and the others, its companions, have no name of their own. They are neither dangling nor shown
// apart, and they go when the name goes.

import { formatReference, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";

/** Ids of the images without a name that a named index lists. */
export function companionIds(images: readonly StoredImage[]): Set<string> {
  const indexes = new Set(images.flatMap(namedIndexes));
  const found = indexes.size === 0 ? [] : images.filter((image) => isListed(image, indexes));
  return new Set(found.map(({ id }) => id));
}

/** Those that go with the names of one image. */
export function companionsOf(images: readonly StoredImage[], main: StoredImage): StoredImage[] {
  const indexes = new Set(namedIndexes(main));
  return images.filter((image) => isListed(image, indexes));
}

/** The other images of the index behind a name (behind all names of `main`, where `name` is none of
 * its own), be they companions or have names themselves. */
export function siblingsOf(
  images: readonly StoredImage[],
  main: StoredImage,
  name = "",
): StoredImage[] {
  const index = indexOfName(main, name);
  const indexes = index === undefined ? namedIndexes(main) : [index];
  return images.filter(
    ({ id, documents }) =>
      id !== main.id && documents.some(({ digest }) => indexes.includes(digest)),
  );
}

/** The digest of the index that a name stands for, or that its pull went through. */
export function indexOfName(
  { indexes, origins }: StoredImage,
  reference: string,
): string | undefined {
  try {
    const name = formatReference(parseReference(reference));
    return indexes.get(name) ?? origins.get(name);
  } catch {
    return undefined; // an id
  }
}

/** Of tags: an image that only a digest names is dangling. */
function namedIndexes({ indexes, origins }: StoredImage): string[] {
  return [...indexes, ...origins].flatMap(([name, index]) => (name.includes("@") ? [] : index));
}

function isListed({ references, documents }: StoredImage, indexes: ReadonlySet<string>): boolean {
  return references.length === 0 && documents.some(({ digest }) => indexes.has(digest));
}
