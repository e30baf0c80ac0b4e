// The rows of volumes, of which whole contents come and go too.

import { volumeCreateBodySchema, volumeUpdateBodySchema } from "./container-schemas.ts";
import { defineRoutes } from "./route-table.ts";

export const volumeRoutes = defineRoutes({
  volumeExport: { method: "GET", path: "/gantry/volumes/{name}/export", answer: "tar" },
  volumeImport: {
    method: "POST",
    path: "/gantry/volumes/{name}/import",
    body: "stream",
    answer: "json",
  },
  volumeClone: {
    method: "POST",
    path: "/gantry/volumes/{name}/clone",
    query: { to: "string" },
    answer: "json",
  },

  volumeList: {
    method: "GET",
    path: "/volumes",
    query: { filters: ["dangling", "driver", "label", "name"] },
    answer: "json",
  },
  volumeCreate: {
    method: "POST",
    path: "/volumes/create",
    body: volumeCreateBodySchema,
    answer: "json",
  },
  volumePrune: {
    method: "POST",
    path: "/volumes/prune",
    since: "1.25",
    query: { filters: ["all", "label", "label!"], "dry-run": "bool" },
    answer: "json",
  },
  volumeUpdate: {
    method: "PUT",
    path: "/volumes/{name}",
    since: "1.42",
    query: { version: "string" },
    body: volumeUpdateBodySchema,
    answer: "empty",
  },
  volumeInspect: { method: "GET", path: "/volumes/{name}", answer: "json" },
  volumeDelete: {
    method: "DELETE",
    path: "/volumes/{name}",
    query: { force: "bool" },
    answer: "empty",
  },
});
