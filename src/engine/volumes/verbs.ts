// The verbs of volumes: thin over the registry, with docker's events and filters.

import { GantryError } from "../../base/index.ts";
import { announceVolume } from "../containers/announce.ts";
import { matchesLabel } from "../containers/filter.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Volumes } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { isRemote } from "./driver-options.ts";
import { ANONYMOUS_LABEL, randomVolumeName } from "./registry.ts";
import { isImage } from "./size-limits.ts";
import { cloneVolume, exportVolume, importVolume } from "./transfer.ts";

const FILTERS = ["dangling", "driver", "label", "name"];

export function volumeVerbs(engine: EngineContext): Volumes {
  const { volumes } = engine;
  return {
    async create(o) {
      const name = o.Name || randomVolumeName();
      checkDriver(name, o.Driver);
      const { volume, created } = await volumes.create({
        name,
        anonymous: !o.Name,
        labels: o.Labels ?? null,
        options: o.DriverOpts ?? null,
      });
      if (created) announceVolume(engine, "create", volume.name);
      return volumes.render(volume);
    },

    async inspect(name) {
      const volume = volumes.render(volumes.find(name));
      const status = await volumes.status(name);
      return status ? { ...volume, Status: status } : volume;
    },

    async update(name, o) {
      await volumes.resize(name, o.DriverOpts ?? {});
      announceVolume(engine, "update", name);
    },

    async list(filters = new Map()) {
      checkFilters(filters);
      const wanted = volumes.all().filter((volume) => matches(engine, volume, filters));
      return { volumes: wanted.map((volume) => volumes.render(volume)), warnings: [] };
    },

    async remove(name, o = {}) {
      if (o.force && !volumes.get(name)) return;
      await volumes.remove(name);
      announceVolume(engine, "destroy", name);
    },

    export: (name, o) => exportVolume(engine, name, o),

    async import(name, tar, o) {
      return volumes.render(await importVolume(engine, name, tar, o));
    },

    async clone(from, to, o) {
      return volumes.render(await cloneVolume(engine, from, to, o));
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
  const all = truth(filters, "all");
  const deleted: string[] = [];
  let spaceReclaimed = 0;
  for (const volume of volumes.all()) {
    if (volumes.users(volume.name).length > 0) continue;
    const labels = volume.labels ?? {};
    if (!all && !volume.anonymous && labels[ANONYMOUS_LABEL] === undefined) continue;
    if (!passesPrune(wanted, { created: volume.createdAt, labels })) continue;
    const size = Math.max(0, await volumeSize(engine, volume.name).catch(() => 0));
    try {
      await volumes.remove(volume.name);
    } catch (error) {
      // Taken into use, or removed, since we looked; or it cannot be removed, which spares it only.
      engine.log.warn("Failed to prune a volume", { name: volume.name, error });
      continue;
    }
    announceVolume(engine, "destroy", volume.name);
    deleted.push(volume.name);
    spaceReclaimed += size;
  }
  engine.bus.publish("volume", "prune", "", { reclaimed: String(spaceReclaimed) });
  return { deleted, spaceReclaimed };
}

/** Bytes of file content in a volume, -1 where that is not for us to count: on other machines. */
export async function volumeSize(engine: EngineContext, name: string): Promise<number> {
  if (isRemote(engine.volumes.find(name).options)) return -1;
  const volume = engine.volumes.find(name);
  const measure = () => engine.files.size(engine.paths.volumeData(name));
  return (await (isImage(volume) ? engine.volumes.mounts.use(volume, measure) : measure())).bytes;
}

/** Throws not-found for every driver that is not here, in docker's words. */
export function checkDriver(volume: string, driver: string | undefined): void {
  if (!driver || driver === "local") return;
  throw new GantryError(
    "not-found",
    `create ${volume}: error looking up volume plugin ${driver}: ` +
      `plugin ${JSON.stringify(driver)} not found`,
  );
}

function checkFilters(filters: Filters): void {
  for (const key of filters.keys()) {
    if (!FILTERS.includes(key)) throw new GantryError("invalid", `invalid filter '${key}'`);
  }
  truth(filters, "dangling");
}

/** A filter that is true or false. */
function truth(filters: Filters, key: string): boolean {
  const values = filters.get(key) ?? [];
  if (values.length === 0) return false;
  const yes = values.some((value) => value === "true" || value === "1");
  const no = values.some((value) => value === "false" || value === "0");
  if (yes !== no) return yes;
  throw new GantryError("invalid", `invalid filter '${key}=[${values.join(" ")}]'`);
}

function matches(
  engine: EngineContext,
  volume: { name: string; labels: Record<string, string> | null },
  filters: Filters,
): boolean {
  for (const [key, values] of filters) {
    if (values.length === 0) continue;
    const fits = (() => {
      switch (key) {
        case "dangling":
          return truth(filters, key) === (engine.volumes.users(volume.name).length === 0);
        case "driver":
          return values.includes("local");
        case "label":
          return values.every((value) => matchesLabel(volume.labels ?? {}, value));
        default:
          return values.some((value) => matchesName(volume.name, value));
      }
    })();
    if (!fits) return false;
  }
  return true;
}

/** Docker takes names for regular expressions. */
function matchesName(name: string, pattern: string): boolean {
  if (name.includes(pattern)) return true;
  try {
    return new RegExp(pattern).test(name);
  } catch {
    return false;
  }
}
