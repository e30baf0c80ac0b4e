// The row of an image's attestations, which Docker has since API 1.55.

import { defineRoutes } from "./route-table.ts";

export const attestationRoutes = defineRoutes({
  imageAttestations: {
    method: "GET",
    path: "/images/{name}/attestations",
    since: "1.55",
    query: { platform: "strings", type: "strings", statement: "bool" },
    answer: "json",
  },
});
