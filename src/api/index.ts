// The Docker Engine API over the engine: makes HTTP servers that are ready to listen.

import type { TlsOptions } from "node:tls";
import type { Logger } from "../base/index.ts";
import { openBuildkit } from "../buildkit/index.ts";
import type { ApiOptions, Handlers } from "./call.ts";
import { type OpenRequest, OpenRequests } from "./open-requests.ts";
import { archiveHandlers } from "./routes/archive.ts";
import { attestationHandlers } from "./routes/attestations.ts";
import { buildHandlers } from "./routes/build.ts";
import { buildkitHandlers } from "./routes/buildkit.ts";
import { cacheMountHandlers } from "./routes/cache-mounts.ts";
import { cgroupHandlers } from "./routes/cgroups.ts";
import { checkpointHandlers } from "./routes/checkpoints.ts";
import { containerStateHandlers } from "./routes/container-state.ts";
import { containerStreamHandlers } from "./routes/container-streams.ts";
import { containerHandlers } from "./routes/containers.ts";
import { execHandlers } from "./routes/exec.ts";
import { explainHandlers } from "./routes/explain.ts";
import { failedStepHandlers } from "./routes/failed-step.ts";
import { gantryImageHandlers } from "./routes/gantry-images.ts";
import { imageHandlers } from "./routes/images.ts";
import { networkHandlers } from "./routes/networks.ts";
import { pluginHandlers } from "./routes/plugins.ts";
import { prunePlanHandlers } from "./routes/prune-plan.ts";
import { registryHandlers } from "./routes/registry.ts";
import { systemHandlers } from "./routes/system.ts";
import { volumeHandlers } from "./routes/volumes.ts";
import { type ApiServer, createApiServer } from "./server.ts";

export type { ApiOptions } from "./call.ts";
export type { RequestGuard, SeenAnswer, SeenRequest } from "./guard.ts";
export type { OpenRequest } from "./open-requests.ts";
export type { ApiServer } from "./server.ts";

/** Makes the door to one engine; `listen` the servers it yields, one for each address. */
export function createApi(options: ApiOptions & { log: Logger }): {
  server(tls?: TlsOptions): ApiServer;
  /** What is being answered now. */
  requests(): OpenRequest[];
} {
  const { engine } = options;
  const requests = new OpenRequests(options.log);
  const buildkit = openBuildkit(options);
  const handlers: Handlers = {
    ...containerHandlers(engine),
    ...attestationHandlers(engine),
    ...checkpointHandlers(engine),
    ...containerStateHandlers(engine),
    ...containerStreamHandlers(engine),
    ...archiveHandlers(engine),
    ...execHandlers(engine),
    ...imageHandlers(engine),
    ...buildHandlers(engine, buildkit),
    ...cacheMountHandlers(engine),
    ...cgroupHandlers(engine),
    ...explainHandlers(engine),
    ...failedStepHandlers(engine),
    ...buildkitHandlers(buildkit),
    ...gantryImageHandlers(engine),
    ...volumeHandlers(engine),
    ...networkHandlers(engine),
    ...pluginHandlers(),
    ...prunePlanHandlers(engine),
    ...registryHandlers(engine),
    ...systemHandlers(engine, options),
  };
  return {
    server: (tls) => createApiServer(handlers, { ...options, requests, ...(tls && { tls }) }),
    requests: () => requests.list(),
  };
}
