// The rows of cache mounts (RUN --mount=type=cache): ours, docker's API has none. `id` is the name
// in the Dockerfile, or the beginning of the key.

import { defineRoutes } from "./route-table.ts";

export const cacheMountRoutes = defineRoutes({
  cacheMountList: { method: "GET", path: "/gantry/cache-mounts", answer: "json" },
  cacheMountExport: {
    method: "GET",
    path: "/gantry/cache-mounts/{id}/archive",
    query: { compression: "string" },
    answer: "tar",
  },
  /** A tar, compressed or not, takes the place of what the mount held. */
  cacheMountImport: {
    method: "PUT",
    path: "/gantry/cache-mounts/{id}/archive",
    body: "stream",
    answer: "json",
  },
  cacheMountInspect: { method: "GET", path: "/gantry/cache-mounts/{id}", answer: "json" },
  cacheMountDelete: { method: "DELETE", path: "/gantry/cache-mounts/{id}", answer: "json" },
});
