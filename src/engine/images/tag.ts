// Tag: one more name for an image.

import { GantryError } from "../../base/index.ts";
import { familiarReference, formatReference, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { findImage } from "./find.ts";

export async function tagImage(
  engine: EngineContext,
  ref: string,
  repo: string,
  tag: string,
): Promise<void> {
  const image = findImage(engine, ref);
  const reference = parseTarget(repo, tag);
  const index = indexMeant(image, ref);
  const origin = ofName(image.origins, ref);
  await engine.storage.images.tag(image.id, formatReference(reference), {
    ...(index && { index }),
    ...(origin && { origin }),
  });
  announceImage(engine, "tag", image.id, familiarReference(reference));
}

/** A name that stands for an index hands that on, as one hands on the index of its pull. */
function indexMeant({ indexes, documents }: StoredImage, ref: string): string | undefined {
  if (documents.some(({ digest }) => digest === ref) && [...indexes.values()].includes(ref)) {
    return ref;
  }
  return ofName(indexes, ref);
}

function ofName(digests: ReadonlyMap<string, string>, ref: string): string | undefined {
  try {
    return digests.get(formatReference(parseReference(ref)));
  } catch {
    return undefined; // an id
  }
}

/** "repo" and "tag" as the API has them apart; either may hold the tag. */
export function parseTarget(repo: string, tag: string): ReturnType<typeof parseReference> {
  const reference = parseReference(tag === "" ? repo : `${repo}:${tag}`);
  if (reference.digest !== undefined) {
    throw new GantryError("invalid", "refusing to create a tag with a digest reference");
  }
  return reference;
}

export function announceImage(
  engine: EngineContext,
  action: "create" | "tag" | "untag" | "delete" | "import" | "load" | "save" | "pull" | "push",
  id: string,
  name: string,
): void {
  const labels = engine.storage.images.get(id)?.config.config?.Labels ?? {};
  engine.bus.publish("image", action, id, { ...labels, name });
}
