// Routes of the Docker Engine API that Gantry knows but does not serve: swarm ones answer as a
// dockerd that is not part of a swarm, those of managed plugins as one that has none; the others
// say what is missing. What dockerd looks at before it says so is the row's `check`. A row moves to
// routes.ts when it is implemented.

import type { Method } from "./route-table.ts";

/** What is wrong with a request is said first: a query, a body, a version of an object. */
export type RefusalCheck =
  | { kind: "filters" }
  | { kind: "services" }
  | { kind: "insert-defaults" }
  | { kind: "streams" }
  | { kind: "body" }
  | { kind: "listen-address" }
  | { kind: "timeout" }
  | { kind: "version"; of: string; brief?: boolean };

export interface RefusedRoute {
  method: Method;
  path: string;
  since?: string;
  /** Why there is no such thing here; answered with 501. */
  missing?: string;
  /** The sentence of dockerd that is in no swarm; NOT_A_SWARM_MANAGER when absent. */
  answer?: string;
  /** "plugin": there is none of that name, as there is none at all. */
  absent?: "plugin";
  check?: RefusalCheck;
}

const NO_SWARM =
  "there is no swarm mode: Gantry runs the containers of one machine, and several machines are " +
  "for an orchestrator above it";
const NO_PLUGINS =
  "managed plugins are not supported: Gantry runs no images beside itself; install the plugin on " +
  "the host and give it a socket in /run/docker/plugins (volume and authorization plugins)";

const filters: RefusalCheck = { kind: "filters" };
const streams: RefusalCheck = { kind: "streams" };
const body: RefusalCheck = { kind: "body" };
const version = (of: string): RefusalCheck => ({ kind: "version", of });
const briefVersion = (of: string): RefusalCheck => ({ kind: "version", of, brief: true });

export const refusedRoutes: readonly RefusedRoute[] = [
  { method: "GET", path: "/plugins/privileges", missing: NO_PLUGINS },
  { method: "POST", path: "/plugins/pull", missing: NO_PLUGINS },
  { method: "POST", path: "/plugins/create", missing: NO_PLUGINS },
  noPlugin("GET", "/plugins/{name}/json"),
  noPlugin("DELETE", "/plugins/{name}"),
  noPlugin("POST", "/plugins/{name}/enable", { kind: "timeout" }),
  noPlugin("POST", "/plugins/{name}/disable"),
  { ...noPlugin("POST", "/plugins/{name}/upgrade"), since: "1.26" },
  noPlugin("POST", "/plugins/{name}/push"),
  noPlugin("POST", "/plugins/{name}/set", body),
  swarm("GET", "/swarm"),
  swarm("GET", "/swarm/unlockkey"),
  { method: "POST", path: "/swarm/init", missing: NO_SWARM, check: { kind: "listen-address" } },
  { method: "POST", path: "/swarm/join", missing: NO_SWARM, check: { kind: "listen-address" } },
  { method: "POST", path: "/swarm/leave", answer: "This node is not part of a swarm" },
  swarm("POST", "/swarm/update", version("swarm")),
  swarm("POST", "/swarm/unlock", body),
  swarm("GET", "/nodes", filters),
  swarm("GET", "/nodes/{id}"),
  swarm("POST", "/nodes/{id}/update", version("node")),
  swarm("DELETE", "/nodes/{id}"),
  swarm("GET", "/services", { kind: "services" }),
  swarm("GET", "/services/{id}/logs", streams),
  swarm("GET", "/services/{id}", { kind: "insert-defaults" }),
  swarm("POST", "/services/create", body),
  swarm("POST", "/services/{id}/update", version("service")),
  swarm("DELETE", "/services/{id}"),
  swarm("GET", "/tasks", filters),
  swarm("GET", "/tasks/{id}/logs", streams),
  swarm("GET", "/tasks/{id}"),
  swarm("GET", "/secrets", filters),
  swarm("GET", "/secrets/{id}"),
  swarm("POST", "/secrets/create", body),
  swarm("POST", "/secrets/{id}/update", briefVersion("secret")),
  swarm("DELETE", "/secrets/{id}"),
  swarm("GET", "/configs", filters),
  swarm("GET", "/configs/{id}"),
  swarm("POST", "/configs/create", body),
  swarm("POST", "/configs/{id}/update", briefVersion("config")),
  swarm("DELETE", "/configs/{id}"),
];

function swarm(method: Method, path: string, check?: RefusalCheck): RefusedRoute {
  return { method, path, ...(check === undefined ? {} : { check }) };
}

function noPlugin(method: Method, path: string, check?: RefusalCheck): RefusedRoute {
  return { ...swarm(method, path, check), absent: "plugin" };
}

/** What dockerd says to every swarm request when it is in no swarm. */
export const NOT_A_SWARM_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" ' +
  "to connect this node to swarm and try again.";
