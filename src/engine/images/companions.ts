// A name may stand for an index: it leads to the image for this machine (or that was pulled last),
// and the others, its companions, have no name of their own. They are neither dangling nor shown
// apart, and they go when the name goes.

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

/** Of tags: an image that only a digest names is dangling. A pulled tag leads to the image itself,
 * and the digest beside it to the index. */
function namedIndexes({ indexes, references, digests, documents }: StoredImage): string[] {
  const given = [...indexes].flatMap(([name, index]) => (name.includes("@") ? [] : index));
  if (references.length === 0) return given;
  const pulled = digests.map((name) => name.slice(name.lastIndexOf("@") + 1));
  const held = new Set(documents.map(({ digest }) => digest));
  return [...given, ...pulled.filter((digest) => held.has(digest))];
}

function isListed({ references, documents }: StoredImage, indexes: ReadonlySet<string>): boolean {
  return references.length === 0 && documents.some(({ digest }) => indexes.has(digest));
}
