// Handlers of /networks.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { checkBoolean } from "../refusals.ts";
import { empty, json } from "../reply.ts";
import { dryRun } from "./prune-plan.ts";

export const networkHandlers = ({ networks, system }: EngineDoors) =>
  ({
    networkList: async ({ query, version }) => {
      const found = await networks.list(query.filters);
      // Until API 1.28 the list said which containers are attached; later ones ask inspect.
      const rows = found.map(({ Status: _, ...row }) => row);
      return json(version.below("1.28") ? rows : rows.map((row) => ({ ...row, Containers: {} })));
    },

    networkInspect: async ({ params, query, version }) => {
      checkBoolean("verbose", query.verbose);
      const { Status, ...network } = await networks.inspect(params.id!);
      if (query.scope && network.Scope !== query.scope) {
        throw new GantryError("not-found", `network ${params.id} not found`);
      }
      return json(version.atLeast("1.52") ? { ...network, Status } : network);
    },

    networkCreate: async ({ body = {} }) => {
      const { CheckDuplicate: _, ...request } = body;
      const { id, warnings } = await networks.create({ ...request, Name: request.Name ?? "" });
      return json({ Id: id, Warning: warnings.join("\n") }, 201);
    },

    networkConnect: async ({ params, body = {}, version }) => {
      const settings = { ...body.EndpointConfig };
      if (version.below("1.44")) delete settings.MacAddress;
      if (version.below("1.48")) delete settings.GwPriority;
      await networks.connect(params.id!, body.Container ?? "", settings);
      return empty(200);
    },

    networkDisconnect: async ({ params, body = {} }) => {
      const { Container = "", Force: force = false } = body;
      await networks.disconnect(params.id!, Container, { force });
      return empty(200);
    },

    networkDelete: async ({ params }) => {
      await networks.remove(params.id!);
      return empty();
    },

    networkExplain: async ({ query }) => {
      if (!query.container) throw new GantryError("invalid", "want the name of a container");
      return json(await networks.explain(query.container, query.port || undefined));
    },

    networkPrune: async ({ query }) => {
      if (query["dry-run"]) return await dryRun(system, "network", query);
      const { deleted } = await networks.prune(query.filters);
      return json({ NetworksDeleted: deleted.length > 0 ? deleted : null });
    },
  }) satisfies SomeHandlers;
