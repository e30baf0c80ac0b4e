// The history of an image, youngest step first, with the size of the layer that each step made.

import { familiarReference, type ImageHistory, parseReference } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { millisecondsOf } from "../timestamps.ts";
import { checkImagePlatform, findImageFor } from "./find.ts";

export interface HistoryEntry {
  Id: string;
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}

/** `platform`: of an image with several, "linux/arm64"; not-found where it has no such one. */
export async function imageHistory(
  engine: EngineContext,
  ref: string,
  { platform }: { platform?: string } = {},
): Promise<HistoryEntry[]> {
  const image = findImageFor(engine, ref, platform);
  checkImagePlatform(image, platform, ref);
  const layers = [...image.layers];
  const steps: ImageHistory[] = image.config.history ?? layers.map(() => ({}));
  const entries = steps.map((step): HistoryEntry => {
    const layer = step.empty_layer ? undefined : layers.shift();
    return {
      Id: "<missing>",
      Created: Math.floor(millisecondsOf(step.created ?? "") / 1000),
      CreatedBy: step.created_by ?? "",
      Tags: null,
      Size: layer?.size ?? 0,
      Comment: step.comment ?? "",
    };
  });
  entries.reverse();
  const youngest = entries[0];
  if (youngest) {
    youngest.Id = image.id;
    const tags = image.references.map((reference) => familiarReference(parseReference(reference)));
    youngest.Tags = tags.length > 0 ? tags : null;
  }
  return entries;
}
