// Inspect and list: read from memory; sizes are measured only when asked for.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Container, Filters, Signal } from "../contract.ts";
import { logShippingOf } from "../log-drivers/index.ts";
import { matchesContainer, prepareFilters } from "./filter.ts";
import { linkNames } from "./links.ts";
import { type ContainerRecord, isRestarting, isRunning } from "./record.ts";
import { renderContainer } from "./render.ts";

export async function inspectContainer(
  engine: EngineContext,
  ref: string,
  o: Signal & { size?: boolean } = {},
): Promise<Container> {
  const c = engine.containers.find(ref);
  const container = renderContainer(engine, c);
  if (o.size) container.sizes = await sizesOf(engine, c);
  const shipping = await logShippingOf(engine, c);
  if (shipping) container.logShipping = shipping;
  return container;
}

/** Youngest first. Without `all`, a limit or a filter on the state, only those that run. */
export async function listContainers(
  engine: EngineContext,
  o: Signal & { all?: boolean; limit?: number; size?: boolean; filters?: Filters } = {},
): Promise<Container[]> {
  const filters = prepareFilters(engine, o.filters ?? new Map());
  const all = o.all || (o.limit ?? 0) > 0 || filters.namesState;
  const found = engine.containers
    .all()
    .filter((c) => c.intent !== "creating" && (all || isRunning(c) || isRestarting(c)))
    .filter((c) => matchesContainer(engine, c, filters))
    .sort((a, b) => (a.created < b.created ? 1 : -1));
  const limited = o.limit && o.limit > 0 ? found.slice(0, o.limit) : found;
  const containers: Container[] = [];
  const linked = linkNames(engine);
  for (const c of limited) {
    o.signal?.throwIfAborted();
    const container = renderContainer(engine, c);
    const names = linked.get(c.id);
    if (names) container.linkNames = names;
    if (o.size) container.sizes = await sizesOf(engine, c);
    containers.push(container);
  }
  return containers;
}

async function sizesOf(
  engine: EngineContext,
  c: ContainerRecord,
): Promise<{ rw: number; rootFs: number }> {
  const { bytes } = await engine.storage.snapshots.usage(c.id).catch((cause) => {
    throw new GantryError("internal", `Failed to measure container ${c.id}`, { cause });
  });
  const image = c.diffIds.reduce((sum, id) => sum + (engine.storage.layers.get(id)?.size ?? 0), 0);
  return { rw: bytes, rootFs: image + bytes };
}
