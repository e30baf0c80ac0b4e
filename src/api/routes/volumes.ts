// Handlers of /volumes and /plugins.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import { NOT_A_SWARM_MANAGER } from "../../protocol/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty, json } from "../reply.ts";
import { dryRun } from "./prune-plan.ts";

const NO_CLUSTER_VOLUMES = "volume update only valid for cluster volumes, but swarm is unavailable";

export const volumeHandlers = ({ volumes, system }: EngineDoors) =>
  ({
    volumeList: async ({ query }) => {
      const found = await volumes.list(query.filters);
      return json({ Volumes: found.volumes, Warnings: nullWhenEmpty(found.warnings) });
    },

    volumeCreate: async ({ body = {} }) => {
      const { ClusterVolumeSpec: cluster, ...request } = body;
      if (cluster !== undefined) {
        throw new GantryError("unavailable", NOT_A_SWARM_MANAGER);
      }
      return json(await volumes.create(request), 201);
    },

    volumeInspect: async ({ params }) => json(await volumes.inspect(params.name!)),

    volumeUpdate: async ({ params, body = {} }) => {
      const { DriverOpts } = body;
      if (!DriverOpts) throw new GantryError("unavailable", NO_CLUSTER_VOLUMES);
      await volumes.update(params.name!, { DriverOpts });
      return empty(200);
    },

    volumeDelete: async ({ params, query }) => {
      await volumes.remove(params.name!, { force: query.force });
      return empty();
    },

    volumePrune: async ({ query, version }) => {
      const filters = new Map(query.filters);
      // Until API 1.42 named volumes were pruned too.
      if (version.below("1.42")) filters.set("all", ["true"]);
      if (query["dry-run"]) return await dryRun(system, "volume", { filters });
      const { deleted, spaceReclaimed } = await volumes.prune(filters);
      return json({ VolumesDeleted: nullWhenEmpty(deleted), SpaceReclaimed: spaceReclaimed });
    },

    volumeExport: async ({ params, signal }) => {
      const stream = await volumes.export(params.name!, { signal });
      return { kind: "bytes", stream, headers: { "Content-Type": "application/x-tar" } };
    },

    volumeImport: async ({ params, body, signal }) =>
      json(await volumes.import(params.name!, body, { signal }), 201),

    volumeClone: async ({ params, query, signal }) => {
      if (!query.to) throw new GantryError("invalid", "bad parameter: the new name is missing");
      return json(await volumes.clone(params.name!, query.to, { signal }), 201);
    },
  }) satisfies SomeHandlers;

function nullWhenEmpty<T>(list: T[]): T[] | null {
  return list.length > 0 ? list : null;
}
