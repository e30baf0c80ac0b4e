// The Docker Engine API as data: every route that Gantry answers itself. Rows are tried in order.
// Swarm routes and those that are refused for now are in other-routes.ts.

import { attestationRoutes } from "./attestation-routes.ts";
import { buildQuery } from "./build-query.ts";
import { cacheMountRoutes } from "./cache-mount-routes.ts";
import { cgroupRoutes } from "./cgroup-routes.ts";
import { checkpointRoutes } from "./checkpoint-routes.ts";
import { containerRoutes } from "./container-routes.ts";
import { authBodySchema } from "./container-schemas.ts";
import { explainRoutes } from "./explain-routes.ts";
import { failedStepRoutes } from "./failed-step-routes.ts";
import { imageRoutes } from "./image-routes.ts";
import { networkRoutes } from "./network-routes.ts";
import { defineRoutes } from "./route-table.ts";
import { volumeRoutes } from "./volume-routes.ts";

const EVENT_FILTERS = [
  ...["config", "container", "daemon", "event", "image", "label", "network"],
  ...["node", "plugin", "scope", "secret", "service", "type", "volume"],
];
const CACHE_FILTERS = [
  ...["description", "id", "inuse", "parent", "private", "shared", "type", "until", "unused-for"],
];

export const routes = defineRoutes({
  // Before those of containers, whose {id} takes what follows it too.
  ...attestationRoutes,
  ...checkpointRoutes,
  ping: { method: "GET", path: "/_ping", answer: "text" },
  pingHead: { method: "HEAD", path: "/_ping", answer: "text" },
  version: { method: "GET", path: "/version", answer: "json" },
  info: { method: "GET", path: "/info", answer: "json" },
  auth: { method: "POST", path: "/auth", body: authBodySchema, answer: "json" },
  events: {
    method: "GET",
    path: "/events",
    query: {
      since: "string",
      until: "string",
      filters: { filters: EVENT_FILTERS },
      after: "string", // Gantry's own, as is `cursor`
      cursor: "bool",
    },
    answer: "events",
  },
  systemDf: {
    method: "GET",
    path: "/system/df",
    query: { type: "strings", verbose: "string" },
    answer: "json",
  },

  ...containerRoutes,
  ...imageRoutes,
  // Gantry's own: what docker's API has no words for.
  prunePlan: {
    method: "GET",
    path: "/gantry/prune",
    query: {
      ...{ kind: "strings", all: "bool", filters: "filters" },
      ...{ "reserved-space": "string", "max-used-space": "string", "min-free-space": "string" },
    },
    answer: "json",
  },
  ...volumeRoutes,
  ...networkRoutes,
  ...cacheMountRoutes,
  ...cgroupRoutes,
  ...explainRoutes,
  ...failedStepRoutes,
  session: { method: "POST", path: "/session", since: "1.31", answer: "hijack" },
  grpc: { method: "POST", path: "/grpc", since: "1.39", answer: "hijack" },
  imageBuild: {
    method: "POST",
    path: "/build",
    query: buildQuery,
    body: "stream",
    answer: "progress",
  },
  buildPrune: {
    method: "POST",
    path: "/build/prune",
    since: "1.31",
    query: {
      all: "bool",
      filters: { filters: CACHE_FILTERS }, // others are refused by the build cache itself
      "dry-run": "bool",
      "keep-storage": "string",
      "reserved-space": "string",
      "max-used-space": "string",
      "min-free-space": "string",
    },
    answer: "json",
  },
  buildCancel: {
    method: "POST",
    path: "/build/cancel",
    since: "1.31",
    query: { id: "string" },
    answer: "empty",
  },
  pluginList: {
    method: "GET",
    path: "/plugins",
    query: { filters: ["capability", "enabled"] },
    answer: "json",
  },
});
export type Routes = typeof routes;
