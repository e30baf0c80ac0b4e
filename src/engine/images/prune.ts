// Prune: images that nothing names (or, with dangling=false, that no container uses), and what
// interrupted pulls have left for the next try.

import type { EngineContext } from "../context.ts";
import type { Filters, Signal } from "../contract.ts";
import { type PruneFilters, parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { companionIds } from "./companions.ts";
import { danglingWanted } from "./list.ts";
import { deleteImage, type RemovedItem, usersOf } from "./remove.ts";
import { familiar } from "./render.ts";
import { announceImage } from "./tag.ts";

export async function pruneImages(
  engine: EngineContext,
  filters: Filters = new Map(),
  { signal }: Signal = {},
): Promise<{ deleted: RemovedItem[]; spaceReclaimed: number }> {
  const wanted = parsePruneFilters(filters, ["dangling"]);
  const onlyDangling = danglingWanted(filters.get("dangling")) ?? true;
  const deleted: RemovedItem[] = [];
  const before = layerBytes(engine);
  const all = engine.storage.images.list();
  const companions = onlyDangling ? companionIds(all) : new Set<string>();
  for (const image of all) {
    if (signal?.aborted) break;
    const labels = image.config.config?.Labels ?? {};
    if (!passesPrune(wanted, { created: image.config.created ?? "", labels })) continue;
    if (onlyDangling && (image.references.length > 0 || companions.has(image.id))) continue;
    if (usersOf(engine, image).length > 0) continue;
    if (engine.storage.images.list().some((other) => other.parent === image.id)) continue;
    // A parent may have gone with its child.
    if (!engine.storage.images.get(image.id)) continue;
    for (const reference of image.references) {
      await engine.storage.images.untag(reference);
      announceImage(engine, "untag", image.id, image.id);
      deleted.push({ Untagged: familiar(reference) });
    }
    await deleteImage(engine, image, deleted, {});
  }
  const partialBytes = await forgetInterrupted(engine, wanted);
  const spaceReclaimed = Math.max(0, before - layerBytes(engine)) + partialBytes;
  engine.bus.publish("image", "prune", "", { reclaimed: String(spaceReclaimed) });
  return { deleted, spaceReclaimed };
}

/** Bytes and layers of pulls that nobody goes on with now; they have no labels. Returns the bytes
 * of those that were no layers yet. */
async function forgetInterrupted(
  { storage }: EngineContext,
  { labels, notLabels, untilMs }: PruneFilters,
): Promise<number> {
  if (labels.length > 0 || notLabels.length > 0) return 0;
  if (untilMs === undefined) {
    const held = storage.layers.held();
    storage.layers.unhold(held);
    await storage.collectLayers(held);
  }
  return storage.partials.clear({ untilMs });
}

function layerBytes(engine: EngineContext): number {
  return engine.storage.layers.list().reduce((sum, layer) => sum + layer.size, 0);
}
