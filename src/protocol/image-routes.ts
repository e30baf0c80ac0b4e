// The rows of images: docker's own, and what Gantry can do besides.

import { defineRoutes } from "./route-table.ts";

const IMAGE_FILTERS = ["before", "dangling", "label", "label!", "reference", "since", "until"];

export const imageRoutes = defineRoutes({
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
});
