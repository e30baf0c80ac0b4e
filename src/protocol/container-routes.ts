// The rows of containers, of the processes in them and of what is committed of them.

import {
  containerConfigSchema,
  createBodySchema,
  execCreateBodySchema,
  execStartBodySchema,
  updateBodySchema,
} from "./container-schemas.ts";
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

export const containerRoutes = defineRoutes({
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
});
