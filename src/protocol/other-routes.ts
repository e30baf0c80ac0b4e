// Routes of the Docker Engine API that Gantry knows but does not serve: swarm ones answer as a
// dockerd that is not part of a swarm; the others say what is missing. A row moves to routes.ts
// when it is implemented.

import type { Method } from "./route-table.ts";

export interface RefusedRoute {
  method: Method;
  path: string;
  since?: string;
  /** What does not exist yet. */
  missing?: string;
  /** The sentence of dockerd that is in no swarm; NOT_A_SWARM_MANAGER when absent. */
  answer?: string;
}

const PLUGINS = "Plugins";
const CHECKPOINTS = "Checkpoints";

export const refusedRoutes: readonly RefusedRoute[] = [
  { method: "GET", path: "/images/{name}/attestations", since: "1.55", missing: "Attestations" },
  { method: "GET", path: "/plugins/privileges", missing: PLUGINS },
  { method: "GET", path: "/plugins/{name}/json", missing: PLUGINS },
  { method: "DELETE", path: "/plugins/{name}", missing: PLUGINS },
  { method: "POST", path: "/plugins/pull", missing: PLUGINS },
  { method: "POST", path: "/plugins/create", missing: PLUGINS },
  { method: "POST", path: "/plugins/{name}/enable", missing: PLUGINS },
  { method: "POST", path: "/plugins/{name}/disable", missing: PLUGINS },
  { method: "POST", path: "/plugins/{name}/upgrade", since: "1.26", missing: PLUGINS },
  { method: "POST", path: "/plugins/{name}/push", missing: PLUGINS },
  { method: "POST", path: "/plugins/{name}/set", missing: PLUGINS },
  { method: "GET", path: "/containers/{id}/checkpoints", missing: CHECKPOINTS },
  { method: "POST", path: "/containers/{id}/checkpoints", missing: CHECKPOINTS },
  { method: "DELETE", path: "/containers/{id}/checkpoints/{checkpoint}", missing: CHECKPOINTS },
  ...swarm("GET", "/swarm", "/swarm/unlockkey", "/nodes", "/nodes/{id}"),
  { method: "POST", path: "/swarm/init", missing: "Swarm mode" },
  { method: "POST", path: "/swarm/join", missing: "Swarm mode" },
  { method: "POST", path: "/swarm/leave", answer: "This node is not part of a swarm" },
  ...swarm("POST", "/swarm/update"),
  ...swarm("POST", "/swarm/unlock", "/nodes/{id}/update"),
  ...swarm("DELETE", "/nodes/{id}", "/services/{id}", "/secrets/{id}", "/configs/{id}"),
  ...swarm("GET", "/services", "/services/{id}/logs", "/services/{id}"),
  ...swarm("POST", "/services/create", "/services/{id}/update"),
  ...swarm("GET", "/tasks", "/tasks/{id}/logs", "/tasks/{id}"),
  ...swarm("GET", "/secrets", "/secrets/{id}", "/configs", "/configs/{id}"),
  ...swarm("POST", "/secrets/create", "/secrets/{id}/update"),
  ...swarm("POST", "/configs/create", "/configs/{id}/update"),
];

function swarm(method: Method, ...paths: string[]): RefusedRoute[] {
  return paths.map((path) => ({ method, path }));
}

/** What dockerd says to every swarm request when it is in no swarm. */
export const NOT_A_SWARM_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" ' +
  "to connect this node to swarm and try again.";
