// GET /gantry/prune, and `dry-run` of docker's own prune requests: what would go, in docker's
// shapes where there is one, and as items with sizes. Nothing is removed.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors, PruneKind, PrunePlan, PruneRequest } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { integer } from "../parameters.ts";
import { json, type Reply } from "../reply.ts";

const KINDS = ["container", "network", "volume", "image", "build-cache"];

const isKind = (text: string): text is PruneKind => KINDS.includes(text);

export const prunePlanHandlers = ({ system }: EngineDoors) =>
  ({
    prunePlan: async ({ query }) => {
      const unknown = query.kind.find((kind) => !isKind(kind));
      if (unknown !== undefined) {
        throw new GantryError("invalid", `unknown object type: ${unknown}`);
      }
      const kinds = query.kind.filter(isKind);
      const { all, filters } = query;
      const cache = {
        ...{ all, filters },
        reservedBytes: integer("reserved-space", query["reserved-space"]),
        maxUsedBytes: integer("max-used-space", query["max-used-space"]),
        minFreeBytes: integer("min-free-space", query["min-free-space"]),
      };
      return json(renderPlan(await system.planPrune({ kinds, all, filters, cache })));
    },
  }) satisfies SomeHandlers;

/** What docker calls the list of what went. */
const LISTS: Readonly<Record<PruneKind, string>> = {
  container: "ContainersDeleted",
  network: "NetworksDeleted",
  volume: "VolumesDeleted",
  image: "ImagesDeleted",
  "build-cache": "CachesDeleted",
};

/** The answer of a prune that removes nothing. */
export async function dryRun(
  system: EngineDoors["system"],
  kind: PruneKind,
  request: Omit<PruneRequest, "kinds">,
): Promise<Reply> {
  const plan = await system.planPrune({ ...request, kinds: [kind] });
  const names = plan.items.map(({ id, name }) => {
    if (kind === "image") return { Deleted: id };
    return kind === "network" ? name : id;
  });
  const list = names.length > 0 ? names : null;
  return json({ [LISTS[kind]]: list, ...renderPlan(plan), DryRun: true });
}

function renderPlan({ items, spaceReclaimed }: PrunePlan): object {
  return {
    Items: items.map(({ kind, id, name, bytes }) => ({
      Kind: kind,
      ID: id,
      Name: name,
      Size: bytes,
    })),
    SpaceReclaimed: spaceReclaimed,
  };
}
