// The verbs of volumes: thin over the registry, with docker's events and filters.

import { GantryError } from "../../base/index.ts";
import { announceVolume } from "../containers/announce.ts";
import { matchesLabel } from "../containers/filter.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Volumes } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { ANONYMOUS_LABEL } from "./registry.ts";

const FILTERS = ["dangling", "driver", "label", "name"];

export function volumeVerbs(engine: EngineContext): Volumes {
  const { volumes } = engine;
  return {
    async create(o) {
      const driver = o.Driver || "local";
      if (driver !== "local") {
        throw new GantryError(
          "not-found",
          `error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`,
        );
      }
      const { volume, created } = await volumes.create({
        ...(o.Name && { name: o.Name }),
        labels: o.Labels ?? null,
        options: o.DriverOpts ?? null,
      });
      if (created) announceVolume(engine, "create", volume.name);
      return volumes.render(volume);
    },

    async inspect(name) {
      return volumes.render(volumes.find(name));
    },

    async list(filters = new Map()) {
      const wanted = volumes.all().filter((volume) => matches(engine, volume, filters));
      return { volumes: wanted.map((volume) => volumes.render(volume)), warnings: [] };
    },

    async remove(name, o = {}) {
      if (o.force && !volumes.get(name)) return;
      await volumes.remove(name);
      announceVolume(engine, "destroy", name);
    },

    async prune(filters = new Map()) {
      return pruneVolumes(engine, filters);
    },
  };
}

async function pruneVolumes(
  engine: EngineContext,
  filters: Filters,
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const { volumes } = engine;
  const wanted = parsePruneFilters(filters, ["all"]);
  const all = (filters.get("all") ?? []).some((value) => value === "true" || value === "1");
  const deleted: string[] = [];
  let spaceReclaimed = 0;
  for (const volume of volumes.all()) {
    if (volumes.users(volume.name).length > 0) continue;
    const labels = volume.labels ?? {};
    if (!all && !volume.anonymous && labels[ANONYMOUS_LABEL] === undefined) continue;
    if (!passesPrune(wanted, { created: volume.createdAt, labels })) continue;
    const size = await volumeSize(engine, volume.name);
    await volumes.remove(volume.name);
    announceVolume(engine, "destroy", volume.name);
    deleted.push(volume.name);
    spaceReclaimed += size;
  }
  engine.bus.publish("volume", "prune", "", { reclaimed: String(spaceReclaimed) });
  return { deleted, spaceReclaimed };
}

/** Bytes of file content in a volume. */
export async function volumeSize(engine: EngineContext, name: string): Promise<number> {
  return (await engine.files.size(engine.paths.volumeData(name))).bytes;
}

function matches(
  engine: EngineContext,
  volume: { name: string; labels: Record<string, string> | null },
  filters: Filters,
): boolean {
  for (const [key, values] of filters) {
    if (!FILTERS.includes(key)) throw new GantryError("invalid", `invalid filter '${key}'`);
    const test = (value: string): boolean => {
      switch (key) {
        case "dangling":
          return ["true", "1"].includes(value) === (engine.volumes.users(volume.name).length === 0);
        case "driver":
          return value === "local";
        case "label":
          return matchesLabel(volume.labels ?? {}, value);
        default:
          return volume.name.includes(value);
      }
    };
    if (values.length > 0 && !values.some(test)) return false;
  }
  return true;
}
