// Prune: images that nothing names (or, with dangling=false, that no container uses).

import type { EngineContext } from "../context.ts";
import type { Filters, Signal } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
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
  for (const image of engine.storage.images.list()) {
    if (signal?.aborted) break;
    const labels = image.config.config?.Labels ?? {};
    if (!passesPrune(wanted, { created: image.config.created ?? "", labels })) continue;
    if (onlyDangling && image.references.length > 0) continue;
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
  const spaceReclaimed = Math.max(0, before - layerBytes(engine));
  engine.bus.publish("image", "prune", "", { reclaimed: String(spaceReclaimed) });
  return { deleted, spaceReclaimed };
}

function layerBytes(engine: EngineContext): number {
  return engine.storage.layers.list().reduce((sum, layer) => sum + layer.size, 0);
}
