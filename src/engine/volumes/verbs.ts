// The verbs of volumes: thin over the registry, with docker's events and filters.

import { GantryError, messageOf } from "../../base/index.ts";
import { announceVolume } from "../containers/announce.ts";
import { matchesLabel } from "../containers/filter.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Volume, Volumes } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { isRemote } from "./driver-options.ts";
import { inspectAt, listEverywhere } from "./plugin-volumes.ts";
import { ANONYMOUS_LABEL, LOCAL_DRIVER, randomVolumeName, type VolumeRecord } from "./registry.ts";
import { isImage } from "./size-limits.ts";
import { cloneVolume, exportVolume, importVolume } from "./transfer.ts";

const FILTERS = ["dangling", "driver", "label", "name"];

export function volumeVerbs(engine: EngineContext): Volumes {
  const { volumes } = engine;
  return {
    async create(o) {
      const name = o.Name || randomVolumeName();
      const { volume, created } = await volumes.create({
        name,
        ...(o.Driver && { driver: o.Driver }),
        anonymous: !o.Name,
        labels: o.Labels ?? null,
        options: o.DriverOpts ?? null,
      });
      if (created) announceVolume(engine, "create", volume.name);
      return await shown(engine, volume);
    },

    async inspect(name) {
      const found = await volumes.findEverywhere(name);
      if (isAtPlugin(found)) return await inspectAt(engine, found);
      const volume = volumes.render(found);
      const status = await volumes.status(name);
      return status ? { ...volume, Status: status } : volume;
    },

    async update(name, o) {
      await volumes.resize(name, o.DriverOpts ?? {});
      announceVolume(engine, "update", name);
    },

    async list(filters = new Map()) {
      checkFilters(filters);
      const { volumes: all, warnings } = await listEverywhere(engine);
      return { volumes: all.filter((volume) => matches(engine, volume, filters)), warnings };
    },

    async remove(name, o = {}) {
      const volume = await volumes.findEverywhere(name).catch((error) => {
        if (o.force) return undefined;
        throw error;
      });
      if (!volume) return;
      await volumes.remove(name, { force: o.force === true });
      announceVolume(engine, "destroy", name, { driver: volume.driver ?? LOCAL_DRIVER });
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

const isAtPlugin = (record: VolumeRecord): record is VolumeRecord & { driver: string } =>
  record.driver !== undefined;

/** What a plugin says of a volume that it has just made is welcome, and not needed. */
async function shown(engine: EngineContext, record: VolumeRecord): Promise<Volume> {
  const own = engine.volumes.render(record);
  return isAtPlugin(record) ? await inspectAt(engine, record).catch(() => own) : own;
}

async function pruneVolumes(
  engine: EngineContext,
  filters: Filters,
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  const { volumes } = engine;
  const deleted: string[] = [];
  let spaceReclaimed = 0;
  for (const volume of prunableVolumes(engine, filters)) {
    if (volumes.users(volume.name).length > 0) continue; // since we looked
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

/** What a prune may take; `gone` are containers that do not count as users any more. */
export function prunableVolumes(
  { volumes }: EngineContext,
  filters: Filters,
  gone: ReadonlySet<string> = new Set(),
): VolumeRecord[] {
  const wanted = parsePruneFilters(filters, ["all"]);
  const all = truth(filters, "all");
  return volumes.all().filter(({ name, driver, createdAt, anonymous, labels }) => {
    // As docker: what a plugin keeps is not for us to clear away.
    if (driver !== undefined || volumes.users(name).some((id) => !gone.has(id))) return false;
    if (!all && !anonymous && labels?.[ANONYMOUS_LABEL] === undefined) return false;
    return passesPrune(wanted, { created: createdAt, labels: labels ?? {} });
  });
}

/** Bytes of file content in a volume, -1 where that is not for us to count: on other machines. */
export async function volumeSize(engine: EngineContext, name: string): Promise<number> {
  const volume = engine.volumes.find(name);
  if (volume.driver !== undefined || isRemote(volume.options)) return -1;
  const measure = () => engine.files.size(engine.paths.volumeData(name));
  return (await (isImage(volume) ? engine.volumes.mounts.use(volume, measure) : measure())).bytes;
}

/** Throws unless there is such a driver, in docker's words: one that is not there is invalid here,
 * because "not found" would make docker's client pull the image once more. */
export async function checkDriver(
  engine: EngineContext,
  volume: string,
  driver: string | undefined,
): Promise<void> {
  if (!driver || driver === LOCAL_DRIVER) return;
  try {
    await engine.volumes.drivers.require(driver);
  } catch (cause) {
    const why = `error looking up volume plugin ${driver}: ${messageOf(cause)}`;
    throw new GantryError("invalid", `create ${volume}: ${why}`, { cause });
  }
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
  const why =
    key === "all"
      ? `'all': strconv.ParseBool: parsing ${JSON.stringify(values[0])}: invalid syntax`
      : `'${key}=[${values.join(" ")}]'`;
  throw new GantryError("invalid", `invalid filter ${why}`);
}

function matches(engine: EngineContext, volume: Volume, filters: Filters): boolean {
  for (const [key, values] of filters) {
    if (values.length === 0) continue;
    const fits = (() => {
      switch (key) {
        case "dangling":
          return truth(filters, key) === (engine.volumes.users(volume.Name).length === 0);
        case "driver":
          return values.includes(volume.Driver);
        case "label":
          return values.every((value) => matchesLabel(volume.Labels ?? {}, value));
        default:
          return values.some((value) => matchesName(volume.Name, value));
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
