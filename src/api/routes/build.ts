// Handlers of /build.

import type { IncomingHttpHeaders } from "node:http";
import { GantryError } from "../../base/index.ts";
import type { Buildkit } from "../../buildkit/index.ts";
import type { BuildRequest, Credentials, EngineDoors } from "../../engine/index.ts";
import type { Routes } from "../../protocol/index.ts";
import type { Ulimit } from "../../spec/index.ts";
import type { Call, SomeHandlers } from "../call.ts";
import { integer } from "../parameters.ts";
import { credentialsOf } from "../registry-auth.ts";
import { empty, json, progress } from "../reply.ts";
import { buildTwoRequest } from "./build-two.ts";
import { dryRun } from "./prune-plan.ts";

type BuildCall = Call<Routes["imageBuild"]>;
type HostConfig = BuildRequest["hostConfig"];

export const buildHandlers = ({ builds, system }: EngineDoors, buildkit: Buildkit) =>
  ({
    imageBuild: (call) => {
      const { signal, query } = call;
      const request = buildRequest(call);
      if (query.version !== "2") return progress(builds.build(request, { signal }));
      return progress(buildkit.build(buildTwoRequest(query, request), { signal }));
    },

    buildCancel: ({ query }) => {
      if (!query.id) throw new GantryError("invalid", "build ID not provided");
      builds.cancel(query.id);
      return empty();
    },

    buildPrune: async ({ query }) => {
      const reserved = query["reserved-space"] || query["keep-storage"];
      const cache = {
        all: query.all,
        filters: query.filters,
        reservedBytes: integer("reserved-space", reserved),
        maxUsedBytes: integer("max-used-space", query["max-used-space"]),
        minFreeBytes: integer("min-free-space", query["min-free-space"]),
      };
      if (query["dry-run"]) return await dryRun(system, "build-cache", { cache });
      const { deleted, spaceReclaimed } = await builds.prune(cache);
      return json({
        CachesDeleted: deleted.length > 0 ? deleted : null,
        SpaceReclaimed: spaceReclaimed,
      });
    },
  }) satisfies SomeHandlers;

function buildRequest({ query, body, headers }: BuildCall): BuildRequest {
  const isTwo = query.version === "2";
  if (query.version && query.version !== "1" && !isTwo) {
    throw new GantryError("invalid", `invalid version ${query.version}`);
  }
  if (!isTwo) refuseSession(query);
  refuseIsolation(query);
  return {
    context: body,
    dockerfile: query.dockerfile || "Dockerfile",
    tags: query.t.filter((tag) => tag !== ""),
    buildArgs: record("buildargs", query.buildargs),
    labels: record("labels", query.labels) as Record<string, string>,
    ...(query.remote && { remote: query.remote }),
    ...(query.target && { target: query.target }),
    ...(query.platform && { platform: query.platform }),
    ...{ pull: query.pull, noCache: query.nocache, quiet: query.q, remove: query.rm },
    ...{ cacheFrom: list("cachefrom", query.cachefrom), squash: query.squash },
    hostConfig: hostConfigOf(query),
    credentials: registryConfig(headers),
    ...(query.buildid && { buildId: query.buildid }),
  };
}

function refuseSession({ remote = "", outputs = "" }: BuildCall["query"]): void {
  if (remote === "client-session") {
    const remedy = "only builds with BuildKit (version 2) have one";
    throw new GantryError("invalid", `a context of a session was given: ${remedy}`);
  }
  if (outputs !== "" && outputs !== "[]" && outputs !== "null") {
    throw new GantryError("invalid", "outputs is only supported with BuildKit");
  }
}

function refuseIsolation({ isolation = "" }: BuildCall["query"]): void {
  if (!["", "default"].includes(isolation)) {
    throw new GantryError("invalid", `Unsupported isolation: ${JSON.stringify(isolation)}`);
  }
}

function hostConfigOf(query: BuildCall["query"]): HostConfig {
  const number = (name: keyof BuildCall["query"]) => integer(name, query[name] as string);
  return {
    Memory: number("memory"),
    MemorySwap: number("memswap"),
    CpuShares: number("cpushares"),
    CpuPeriod: number("cpuperiod"),
    CpuQuota: number("cpuquota"),
    CpusetCpus: query.cpusetcpus ?? "",
    CpusetMems: query.cpusetmems ?? "",
    ShmSize: number("shmsize"),
    CgroupParent: query.cgroupparent ?? "",
    Ulimits: ulimits(query.ulimits),
    ExtraHosts: query.extrahosts.filter((host) => host !== ""),
    SecurityOpt: list("securityopt", query.securityopt),
    NetworkMode: query.networkmode || "default",
  };
}

function parsed(name: string, text: string | undefined): unknown {
  if (text === undefined || text === "") return undefined;
  try {
    return JSON.parse(text) ?? undefined;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new GantryError("invalid", `error reading ${name}: ${why}`, { cause });
  }
}

/** A JSON object of texts; null stands for a value that is not set. */
function record(name: string, text: string | undefined): Record<string, string | null> {
  const value = parsed(name, text) ?? {};
  const isRecord = typeof value === "object" && !Array.isArray(value);
  const entries = isRecord ? Object.entries(value as object) : [];
  const sound = entries.every(([, item]) => typeof item === "string" || item === null);
  if (isRecord && sound) return Object.fromEntries(entries) as Record<string, string | null>;
  throw new GantryError("invalid", `error reading ${name}: want an object of strings`);
}

function list(name: string, text: string | undefined): string[] {
  const value = parsed(name, text) ?? [];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new GantryError("invalid", `error reading ${name}: want a list of strings`);
}

function ulimits(text: string | undefined): Ulimit[] {
  const value = parsed("ulimits", text) ?? [];
  const isUlimit = (item: unknown): item is Ulimit => {
    const { Name, Soft, Hard } = (item ?? {}) as Partial<Ulimit>;
    return typeof Name === "string" && Number.isSafeInteger(Soft) && Number.isSafeInteger(Hard);
  };
  if (Array.isArray(value) && value.every(isUlimit)) {
    return value.map(({ Name, Soft, Hard }) => ({ Name, Soft, Hard }));
  }
  throw new GantryError("invalid", "error reading ulimits: want a list of Name, Soft and Hard");
}

/** X-Registry-Config: credentials by registry, JSON in base64. What cannot be read is none. */
function registryConfig(headers: IncomingHttpHeaders): Record<string, Credentials> {
  const header = headers["x-registry-config"];
  if (typeof header !== "string" || header === "") return {};
  try {
    const value = JSON.parse(Buffer.from(header, "base64").toString("utf8")) as object;
    const entries = Object.entries(value ?? {});
    return Object.fromEntries(entries.map(([host, fields]) => [host, credentialsOf(fields)]));
  } catch {
    return {};
  }
}
