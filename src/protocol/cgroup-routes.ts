// The row of the containers' cgroups (`gantry cgls`, `cgtop`): ours, docker's API has none.

import { defineRoutes } from "./route-table.ts";

export const cgroupRoutes = defineRoutes({
  cgroupTree: {
    method: "GET",
    path: "/gantry/cgroups",
    query: { processes: "bool" },
    answer: "json",
  },
});
