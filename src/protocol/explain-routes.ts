// The rows of explanations: ours, docker's API has none. The body of the first is that of a
// create.

import { createBodySchema } from "./container-schemas.ts";
import { defineRoutes } from "./route-table.ts";

export const explainRoutes = defineRoutes({
  explainCreate: {
    method: "POST",
    path: "/gantry/explain/create",
    query: { name: "string", platform: "string" },
    body: createBodySchema,
    answer: "json",
  },
  explainContainer: {
    method: "GET",
    path: "/gantry/containers/{id}/explain",
    answer: "json",
  },
});
