// The door to networks.

import type { CreateNetworkRequest } from "../../network/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";
import type { Explanation } from "../networks/explain.ts";
import type { Filters } from "./shared-nouns.ts";

/** A network as inspect shows it; Docker's own field names. */
export type Network = Record<string, unknown> & { Id: string; Name: string; Driver: string };
export type { Explanation };

export interface Networks {
  list(filters?: Filters): Promise<Network[]>;
  inspect(ref: string): Promise<Network>;
  create(request: CreateNetworkRequest): Promise<{ id: string; warnings: string[] }>;
  /** By name, id or prefix. Throws forbidden for predefined networks and while containers run. */
  remove(ref: string): Promise<void>;
  /** A stopped container gets its endpoint at the next start, a running one at once. */
  connect(ref: string, container: string, settings?: EndpointSettings): Promise<void>;
  /** `force`: also where the network itself is gone. */
  disconnect(ref: string, container: string, o?: { force?: boolean }): Promise<void>;
  prune(filters?: Filters): Promise<{ deleted: string[] }>;
  /** Why a port ("80", "53/udp"; absent: all that are published) is reachable or is not. */
  explain(container: string, port?: string): Promise<Explanation>;
}
