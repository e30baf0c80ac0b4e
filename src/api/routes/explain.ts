// Handlers of /gantry/explain: what a start would do, and what a container really has.

import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { toCreateRequest } from "../create-request.ts";
import { json } from "../reply.ts";

export const explainHandlers = ({ explain }: EngineDoors) =>
  ({
    explainCreate: async ({ query, body, version, signal }) => {
      const { request, warnings } = toCreateRequest(body, query, version);
      const found = await explain.plan(request, { signal });
      return json({ ...found, warnings: [...found.warnings, ...warnings] });
    },

    explainContainer: async ({ params, signal }) =>
      json(await explain.container(params.id!, { signal })),
  }) satisfies SomeHandlers;
