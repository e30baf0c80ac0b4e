// The history of an image, youngest step first, with the size of the layer that each step made.

import { familiarReference, type ImageHistory, parseReference } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { millisecondsOf } from "../timestamps.ts";
import { findImage } from "./find.ts";

export interface HistoryEntry {
  Id: string;
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}

export async function imageHistory(engine: EngineContext, ref: string): Promise<HistoryEntry[]> {
  const image = findImage(engine, ref);
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
