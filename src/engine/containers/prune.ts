// Prune: removes every container that does not run, by docker's filters.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Signal } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { isRestarting, isRunning } from "./record.ts";
import { removeContainer } from "./remove.ts";

export async function pruneContainers(
  engine: EngineContext,
  filters: Filters = new Map(),
  { signal }: Signal = {},
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const wanted = parsePruneFilters(filters, []);
  const deleted: string[] = [];
  let spaceReclaimed = 0;
  for (const c of engine.containers.all()) {
    if (signal?.aborted) break;
    if (c.intent || isRunning(c) || isRestarting(c)) continue;
    if (!passesPrune(wanted, { created: c.created, labels: c.config.Labels ?? {} })) continue;
    const usage = await engine.storage.snapshots.usage(c.id).catch(() => ({ bytes: 0 }));
    try {
      await removeContainer(engine, c.id);
    } catch (error) {
      if (error instanceof GantryError) {
        engine.log.warn("Failed to prune a container", { id: c.id, error });
        continue;
      }
      throw error;
    }
    deleted.push(c.id);
    spaceReclaimed += usage.bytes;
  }
  engine.bus.publish("container", "prune", "", { reclaimed: String(spaceReclaimed) });
  return { deleted, spaceReclaimed };
}
