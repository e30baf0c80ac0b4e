// Handlers of /networks.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty, json } from "../reply.ts";

export const networkHandlers = ({ networks }: EngineDoors) =>
  ({
    networkList: async ({ query, version }) => {
      const found = await networks.list(query.filters);
      // Until API 1.28 the list said which containers are attached; later ones ask inspect.
      return json(version.below("1.28") ? found : found.map((row) => ({ ...row, Containers: {} })));
    },

    networkInspect: async ({ params }) => json(await networks.inspect(params.id!)),

    networkCreate: async ({ body = {} }) => {
      const { Ingress, ConfigOnly, ConfigFrom, Scope: _, CheckDuplicate: __, ...request } = body;
      if (Ingress || ConfigOnly || ConfigFrom?.Network) {
        throw new GantryError(
          "not-implemented",
          "ingress and config-only networks are not supported",
        );
      }
      const { id } = await networks.create({ ...request, Name: request.Name ?? "" });
      return json({ Id: id, Warning: "" }, 201);
    },

    networkConnect: async ({ params, body = {} }) => {
      await networks.connect(params.id!, body.Container ?? "", body.EndpointConfig ?? {});
      return empty(200);
    },

    networkDisconnect: async ({ params, body = {} }) => {
      await networks.disconnect(params.id!, body.Container ?? "");
      return empty(200);
    },

    networkDelete: async ({ params }) => {
      await networks.remove(params.id!);
      return empty();
    },

    networkPrune: async ({ query }) => {
      const { deleted } = await networks.prune(query.filters);
      return json({ NetworksDeleted: deleted.length > 0 ? deleted : null });
    },
  }) satisfies SomeHandlers;
