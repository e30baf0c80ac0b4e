// What a prune would remove, with sizes, and nothing removed: the same choices as the prune verbs
// make, over lists that are not touched. Kinds follow one another as in `system prune`: a volume,
// a network or an image that only a doomed container uses is doomed with it.

import { isRestarting, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type {
  CachePruneOptions,
  Filters,
  PruneItem,
  PruneKind,
  PrunePlan,
  PruneRequest,
} from "../contract.ts";
import { companionIds } from "../images/companions.ts";
import { danglingWanted } from "../images/list.ts";
import { familiar } from "../images/render.ts";
import { isPredefined, isUsed } from "../networks/filter.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { prunableVolumes, volumeSize } from "../volumes/verbs.ts";

type Gone = ReadonlySet<string>;
export type CachePlan = (o: CachePruneOptions) => Promise<PruneItem[]>;

/** The order of `system prune`. */
const KINDS: readonly PruneKind[] = ["container", "network", "volume", "image", "build-cache"];

/** Looks only. Throws invalid for filters that the verbs would refuse. */
export async function planPrune(
  engine: EngineContext,
  { kinds, all = false, filters = new Map(), cache = { all, filters } }: PruneRequest,
  planCache: CachePlan,
): Promise<PrunePlan> {
  const items: PruneItem[] = [];
  const gone = new Set<string>();
  for (const kind of KINDS.filter((one) => kinds.includes(one))) {
    if (kind === "container") {
      const doomed = await doomedContainers(engine, filters);
      for (const { id } of doomed) gone.add(id);
      items.push(...doomed);
    } else if (kind === "network") items.push(...doomedNetworks(engine, filters));
    else if (kind === "volume") items.push(...(await doomedVolumes(engine, filters, gone)));
    else if (kind === "image") items.push(...doomedImages(engine, filters, { all, gone }));
    else items.push(...(await planCache(cache)));
  }
  return { items, spaceReclaimed: items.reduce((sum, { bytes }) => sum + bytes, 0) };
}

async function doomedContainers(engine: EngineContext, filters: Filters): Promise<PruneItem[]> {
  const wanted = parsePruneFilters(filters, []);
  const doomed = engine.containers
    .all()
    .filter((c) => !c.intent && !isRunning(c) && !isRestarting(c))
    .filter((c) => passesPrune(wanted, { created: c.created, labels: c.config.Labels ?? {} }));
  return await Promise.all(
    doomed.map(async (c) => {
      const { bytes } = await engine.storage.snapshots.usage(c.id).catch(() => ({ bytes: 0 }));
      return { kind: "container", id: c.id, name: c.name, bytes };
    }),
  );
}

function doomedNetworks(engine: EngineContext, filters: Filters): PruneItem[] {
  const wanted = parsePruneFilters(filters, []);
  return engine.network
    .describe()
    .filter((network) => !isPredefined(network) && !isUsed(engine, network))
    .filter((network) =>
      passesPrune(wanted, {
        created: String(network["Created"]),
        labels: network["Labels"] as Record<string, string>,
      }),
    )
    .map(({ Id, Name }) => ({ kind: "network", id: Id, name: Name, bytes: 0 }));
}

async function doomedVolumes(
  engine: EngineContext,
  filters: Filters,
  gone: Gone,
): Promise<PruneItem[]> {
  return await Promise.all(
    prunableVolumes(engine, filters, gone).map(async ({ name }) => {
      const bytes = Math.max(0, await volumeSize(engine, name).catch(() => 0));
      return { kind: "volume", id: name, name, bytes };
    }),
  );
}

/** As pruneImages() and deleteImage(): whole chains go, from the child up. */
function doomedImages(
  engine: EngineContext,
  filters: Filters,
  { all, gone }: { all: boolean; gone: Gone },
): PruneItem[] {
  const wanted = parsePruneFilters(filters, ["dangling"]);
  const onlyDangling = danglingWanted(filters.get("dangling")) ?? !all;
  const left = new Map(engine.storage.images.list().map((image) => [image.id, image]));
  const doomed: string[] = [];
  const users = engine.containers.all().filter(({ id }) => !gone.has(id));
  const isFree = (id: string): boolean =>
    !users.some(({ imageId }) => imageId === id) &&
    ![...left.values()].some(({ parent }) => parent === id);
  const remove = (id: string): void => {
    const { parent } = left.get(id)!;
    left.delete(id);
    doomed.push(id);
    const above = parent === undefined ? undefined : left.get(parent);
    if (above && above.references.length === 0 && isFree(above.id)) remove(above.id);
  };
  const everything = [...left.values()];
  const companions = onlyDangling ? companionIds(everything) : new Set<string>();
  for (const image of everything) {
    const labels = image.config.config?.Labels ?? {};
    if (!passesPrune(wanted, { created: image.config.created ?? "", labels })) continue;
    if (onlyDangling && (image.references.length > 0 || companions.has(image.id))) continue;
    if (left.has(image.id) && isFree(image.id)) remove(image.id);
  }
  const kept = new Set([
    ...[...left.values()].flatMap(({ layers }) => layers.map(({ diffId }) => diffId)),
    ...users.flatMap(({ diffIds }) => diffIds),
  ]);
  const byId = new Map(everything.map((image) => [image.id, image]));
  return doomed.map((id) => {
    const { layers, references } = byId.get(id)!;
    let bytes = 0;
    for (const { diffId, size } of layers) {
      if (!kept.has(diffId)) bytes += size;
      kept.add(diffId); // counted with the first image that has it
    }
    const [name = "<none>"] = references;
    return { kind: "image", id, name: name === "<none>" ? name : familiar(name), bytes };
  });
}
