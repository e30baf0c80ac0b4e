// The Docker Engine API as data: every route that Gantry answers itself. Rows are tried in order.
// Swarm routes and those that are refused for now are in other-routes.ts.

import { attestationRoutes } from "./attestation-routes.ts";
import { buildQuery } from "./build-query.ts";
import { cacheMountRoutes } from "./cache-mount-routes.ts";
import { cgroupRoutes } from "./cgroup-routes.ts";
import { checkpointRoutes } from "./checkpoint-routes.ts";
import {
  authBodySchema,
  containerConfigSchema,
  createBodySchema,
  execCreateBodySchema,
  execStartBodySchema,
  updateBodySchema,
  volumeCreateBodySchema,
  volumeUpdateBodySchema,
} from "./container-schemas.ts";
import { explainRoutes } from "./explain-routes.ts";
import { failedStepRoutes } from "./failed-step-routes.ts";
import { networkRoutes } from "./network-routes.ts";
import { defineRoutes } from "./route-table.ts";

const CONTAINER_FILTERS = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "isolation",
  "is-task",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
] as const;
const IMAGE_FILTERS = ["before", "dangling", "label", "label!", "reference", "since", "until"];
const EVENT_FILTERS = [
  ...["config", "container", "daemon", "event", "image", "label", "network"],
  ...["node", "plugin", "scope", "secret", "service", "type", "volume"],
];
const CACHE_FILTERS = [
  ...["description", "id", "inuse", "parent", "private", "shared", "type", "until", "unused-for"],
];
const attachQuery = {
  detachKeys: "string",
  logs: "bool",
  stream: "bool",
  stdin: "bool",
  stdout: "bool",
  stderr: "bool",
} as const;
const resizeQuery = { h: "uint32", w: "uint32" } as const;
const stopQuery = { signal: "string", t: "int" } as const;

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

  containerList: {
    method: "GET",
    path: "/containers/json",
    query: {
      all: "bool",
      limit: "int",
      size: "bool",
      since: "string",
      before: "string",
      filters: CONTAINER_FILTERS,
    },
    answer: "json",
  },
  containerCreate: {
    method: "POST",
    path: "/containers/create",
    query: { name: "string", platform: "string" },
    body: createBodySchema,
    answer: "json",
  },
  containerPrune: {
    method: "POST",
    path: "/containers/prune",
    since: "1.25",
    query: { filters: ["until", "label", "label!"], "dry-run": "bool" },
    answer: "json",
  },
  containerInspect: {
    method: "GET",
    path: "/containers/{id}/json",
    query: { size: "bool" },
    answer: "json",
  },
  containerTop: {
    method: "GET",
    path: "/containers/{id}/top",
    query: { ps_args: "string" },
    answer: "json",
  },
  containerLogs: {
    method: "GET",
    path: "/containers/{id}/logs",
    query: {
      follow: "bool",
      stdout: "bool",
      stderr: "bool",
      since: "string",
      until: "string",
      timestamps: "bool",
      tail: "string",
      details: "bool",
      // Ours: a regular expression.
      grep: "string",
    },
    answer: "logs",
  },
  containerChanges: { method: "GET", path: "/containers/{id}/changes", answer: "json" },
  containerExport: { method: "GET", path: "/containers/{id}/export", answer: "tar" },
  containerStats: {
    method: "GET",
    path: "/containers/{id}/stats",
    query: { stream: "bool=true", "one-shot": "bool" },
    answer: "progress",
  },
  containerAttachWebsocket: {
    method: "GET",
    path: "/containers/{id}/attach/ws",
    query: attachQuery,
    answer: "hijack",
  },
  containerStatArchive: {
    method: "HEAD",
    path: "/containers/{id}/archive",
    query: { path: "string" },
    answer: "empty",
  },
  containerGetArchive: {
    method: "GET",
    path: "/containers/{id}/archive",
    query: { path: "string" },
    answer: "tar",
  },
  containerPutArchive: {
    method: "PUT",
    path: "/containers/{id}/archive",
    query: { path: "string", noOverwriteDirNonDir: "bool", copyUIDGID: "bool" },
    body: "stream",
    answer: "empty",
  },
  /** Gantry's own: the paths that a shell's pattern matches inside the container. */
  containerGlobArchive: {
    method: "GET",
    path: "/containers/{id}/archive/glob",
    query: { pattern: "string" },
    answer: "json",
  },
  containerResize: {
    method: "POST",
    path: "/containers/{id}/resize",
    query: resizeQuery,
    answer: "empty",
  },
  containerStart: {
    method: "POST",
    path: "/containers/{id}/start",
    query: { detachKeys: "string", checkpoint: "string", "checkpoint-dir": "string" },
    answer: "empty",
  },
  containerStop: {
    method: "POST",
    path: "/containers/{id}/stop",
    query: stopQuery,
    answer: "empty",
  },
  containerRestart: {
    method: "POST",
    path: "/containers/{id}/restart",
    query: stopQuery,
    answer: "empty",
  },
  containerKill: {
    method: "POST",
    path: "/containers/{id}/kill",
    query: { signal: "string" },
    answer: "empty",
  },
  containerUpdate: {
    method: "POST",
    path: "/containers/{id}/update",
    body: updateBodySchema,
    answer: "json",
  },
  containerRename: {
    method: "POST",
    path: "/containers/{id}/rename",
    query: { name: "string" },
    answer: "empty",
  },
  containerPause: { method: "POST", path: "/containers/{id}/pause", answer: "empty" },
  containerUnpause: { method: "POST", path: "/containers/{id}/unpause", answer: "empty" },
  containerAttach: {
    method: "POST",
    path: "/containers/{id}/attach",
    query: attachQuery,
    answer: "hijack",
  },
  containerWait: {
    method: "POST",
    path: "/containers/{id}/wait",
    query: { condition: "string" },
    answer: "json",
  },
  containerExec: {
    method: "POST",
    path: "/containers/{id}/exec",
    body: execCreateBodySchema,
    answer: "json",
  },
  containerDelete: {
    method: "DELETE",
    path: "/containers/{id}",
    query: { v: "bool", force: "bool", link: "bool" },
    answer: "empty",
  },
  commit: {
    method: "POST",
    path: "/commit",
    query: {
      container: "string",
      repo: "string",
      tag: "string",
      comment: "string",
      author: "string",
      pause: "bool=true",
      changes: "strings",
    },
    body: containerConfigSchema,
    answer: "json",
  },

  execStart: {
    method: "POST",
    path: "/exec/{id}/start",
    body: execStartBodySchema,
    answer: "hijack",
  },
  execResize: { method: "POST", path: "/exec/{id}/resize", query: resizeQuery, answer: "empty" },
  execInspect: { method: "GET", path: "/exec/{id}/json", answer: "json" },

  imageList: {
    method: "GET",
    path: "/images/json",
    query: {
      all: "bool",
      filter: "string",
      filters: IMAGE_FILTERS,
      "shared-size": "bool",
      digests: "bool",
      manifests: "bool",
      identity: "bool",
    },
    answer: "json",
  },
  imageSearch: {
    method: "GET",
    path: "/images/search",
    query: {
      term: "string",
      limit: "int",
      filters: ["is-automated", "is-official", "stars"],
    },
    answer: "json",
  },
  imageGetAll: {
    method: "GET",
    path: "/images/get",
    query: { names: "strings", platform: "strings" },
    answer: "tar",
  },
  imageCreate: {
    method: "POST",
    path: "/images/create",
    query: {
      fromImage: "string",
      fromSrc: "string",
      repo: "string",
      tag: "string",
      message: "string",
      changes: "strings",
      platform: "string",
    },
    body: "stream",
    answer: "progress",
  },
  imageLoad: {
    method: "POST",
    path: "/images/load",
    query: { quiet: "bool=true", platform: "strings" },
    body: "stream",
    answer: "progress",
  },
  imagePrune: {
    method: "POST",
    path: "/images/prune",
    since: "1.25",
    query: { filters: ["dangling", "label", "label!", "until"], "dry-run": "bool" },
    answer: "json",
  },
  imageInspect: {
    method: "GET",
    path: "/images/{name}/json",
    query: { manifests: "bool", platform: "string" },
    answer: "json",
  },
  imageHistory: {
    method: "GET",
    path: "/images/{name}/history",
    query: { platform: "string" },
    answer: "json",
  },
  imageGet: {
    method: "GET",
    path: "/images/{name}/get",
    query: { platform: "strings" },
    answer: "tar",
  },
  imagePush: {
    method: "POST",
    path: "/images/{name}/push",
    query: { tag: "string", platform: "string", allPlatforms: "bool" }, // the last is ours
    answer: "progress",
  },
  distributionInspect: {
    method: "GET",
    path: "/distribution/{name}/json",
    since: "1.30",
    answer: "json",
  },
  imageTag: {
    method: "POST",
    path: "/images/{name}/tag",
    query: { repo: "string", tag: "string" },
    answer: "empty",
  },
  imageDelete: {
    method: "DELETE",
    path: "/images/{name}",
    query: { force: "bool", noprune: "bool", platforms: "strings" },
    answer: "json",
  },

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
  imageVerify: {
    method: "POST",
    path: "/gantry/images/verify",
    query: { names: "strings", all: "bool", remote: "bool", repair: "bool" },
    answer: "progress",
  },
  imageBootstrap: {
    method: "POST",
    path: "/gantry/images/bootstrap",
    query: {
      image: "string",
      tag: "string",
      variant: "string",
      mirror: "string",
      include: "strings",
    },
    answer: "progress",
  },

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
