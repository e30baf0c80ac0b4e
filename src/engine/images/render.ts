// A stored image as the doors show it.

import { familiarName, familiarReference, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import type { Image } from "../contract.ts";
import { timestampOf } from "../timestamps.ts";

export function renderImage(image: StoredImage): Image {
  return {
    id: image.id,
    config: image.config,
    repoTags: image.references.map(familiar).sort(),
    repoDigests: image.digests.map(familiarDigest),
    parent: image.parent ?? "",
    comment: image.config.comment ?? image.config.history?.at(-1)?.comment ?? "",
    created: image.config.created ?? "",
    size: image.layers.reduce((sum, layer) => sum + layer.size, 0),
    sharedSize: -1,
    containers: -1,
    lastTagTime: timestampOf(image.createdAt),
    ...(image.manifest && { manifest: image.manifest }),
    layers: image.layers.map((layer) => layer.diffId),
  };
}

/** docker.io/library/alpine:3.20 → alpine:3.20 */
export function familiar(reference: string): string {
  return familiarReference(parseReference(reference, { defaultTag: false }));
}

function familiarDigest(reference: string): string {
  const parsed = parseReference(reference, { defaultTag: false });
  return `${familiarName(parsed)}@${parsed.digest ?? ""}`;
}
