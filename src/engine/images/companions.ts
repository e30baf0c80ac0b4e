// An index has one name and several images: the one that the name leads to, and its companions for
// other platforms, which have no name of their own. They are neither dangling nor shown apart, and
// they go with the image that has the name.

import type { StoredImage } from "../../storage/index.ts";

const INDEXES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

const indexesOf = ({ documents }: StoredImage): string[] =>
  documents.filter(({ mediaType }) => INDEXES.includes(mediaType)).map(({ digest }) => digest);

const platformOf = ({ config: { os, architecture, variant } }: StoredImage): string =>
  [os || "linux", architecture, variant ?? ""].join("/");

/** Ids of the images without a name that share an index with a named one of another platform. */
export function companionIds(images: readonly StoredImage[]): Set<string> {
  const named = new Map<string, Set<string>>();
  for (const image of images.filter(({ references }) => references.length > 0)) {
    for (const index of indexesOf(image)) {
      named.set(index, (named.get(index) ?? new Set()).add(platformOf(image)));
    }
  }
  const found = images.filter((image) => {
    if (image.references.length > 0) return false;
    return indexesOf(image).some((index) => {
      const platforms = named.get(index);
      return platforms !== undefined && !platforms.has(platformOf(image));
    });
  });
  return new Set(found.map(({ id }) => id));
}

/** Those of one image. */
export function companionsOf(images: readonly StoredImage[], main: StoredImage): StoredImage[] {
  const ids = companionIds(images);
  const own = new Set(indexesOf(main));
  return images.filter((image) => ids.has(image.id) && indexesOf(image).some((i) => own.has(i)));
}
