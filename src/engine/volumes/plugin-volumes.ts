// What clients see of volumes, those of plugins included: only the plugin knows where such a volume
// is, how it is, and which others it has. A plugin that does not answer is a warning, and the
// volumes that are known to be its own are shown without what it would say.

import { type GantryError, messageOf } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Volume } from "../contract.ts";
import type { PluginVolume } from "../plugins/volume-drivers.ts";
import type { VolumeRecord } from "./registry.ts";

/** Every volume, and what is wrong with plugins. */
export async function listEverywhere(
  engine: EngineContext,
): Promise<{ volumes: Volume[]; warnings: string[] }> {
  const { volumes } = engine;
  const { drivers } = volumes;
  const known = volumes.all();
  const used = known.flatMap(({ driver }) => driver ?? []);
  const names = new Set([...used, ...(await drivers.names())]);
  const shown = known
    .filter(({ driver }) => driver === undefined)
    .map((one) => volumes.render(one));
  const warnings: string[] = [];
  for (const driver of [...names].sort()) {
    const own = known.filter((record) => record.driver === driver);
    try {
      const [there, scope] = await Promise.all([drivers.list(driver), drivers.scope(driver)]);
      const records = new Map(own.map((record) => [record.name, record]));
      const more = there.filter(({ name }) => !volumes.get(name) || records.has(name));
      for (const one of more) shown.push(seenAt(engine, driver, scope, one, records.get(one.name)));
      const listed = new Set(there.map(({ name }) => name));
      const missing = own.filter(({ name }) => !listed.has(name));
      shown.push(...missing.map((one) => volumes.render(one)));
      for (const { name } of missing) {
        warnings.push(`list ${driver}: volume ${name} is not known to the plugin`);
      }
    } catch (error) {
      warnings.push(`list ${driver}: ${messageOf(error)}`);
      shown.push(...own.map((one) => volumes.render(one)));
    }
  }
  return { volumes: shown, warnings };
}

/** A volume of a plugin, as the plugin and we together know it. */
export async function inspectAt(
  engine: EngineContext,
  record: VolumeRecord & { driver: string },
): Promise<Volume> {
  const { drivers } = engine.volumes;
  const { driver, name } = record;
  const [found, scope] = await Promise.all([
    drivers.get(driver, name).catch((cause: GantryError) => {
      cause.message = `get ${name}: ${cause.message}`;
      throw cause;
    }),
    drivers.scope(driver),
  ]);
  return seenAt(engine, driver, scope, found, record);
}

function seenAt(
  engine: EngineContext,
  driver: string,
  scope: "local" | "global",
  found: PluginVolume,
  record: VolumeRecord | undefined,
): Volume {
  const created = found.createdAt ?? record?.createdAt ?? "";
  return {
    Name: found.name,
    Driver: driver,
    Mountpoint: found.mountpoint || engine.volumes.mounts.pointOf(found.name),
    CreatedAt: created.replace(/\.\d+Z$/, "Z"),
    Labels: record?.labels ?? null,
    Options: record?.options ?? null,
    Scope: scope,
    ...(found.status && Object.keys(found.status).length > 0 ? { Status: found.status } : {}),
  };
}
