// The engine's doors: what the HTTP API, the CRI server, the command line's embedded mode and
// TypeScript programs call; a door a file in contract/. Docker's own field names (PascalCase) are
// used for the nouns that travel unchanged between client, record and image config:
// ContainerConfig, HostConfig … (src/spec/container.ts). Every verb takes { signal } last; each
// names its commit point.

import type { Builds } from "./build/contract.ts";
import type { Containers } from "./contract/containers.ts";
import type { Events } from "./contract/events.ts";
import type { Explain } from "./contract/explain.ts";
import type { Images } from "./contract/images.ts";
import type { Networks } from "./contract/networks.ts";
import type { AuthorizationDoor } from "./contract/plugins.ts";
import type { System } from "./contract/system.ts";
import type { Volumes } from "./contract/volumes.ts";

export type * from "./build/contract.ts";
export type * from "./contract/cgroups.ts";
export type * from "./contract/checkpoints.ts";
export type * from "./contract/containers.ts";
export type * from "./contract/events.ts";
export type * from "./contract/explain.ts";
export type * from "./contract/images.ts";
export type * from "./contract/networks.ts";
export type * from "./contract/plugins.ts";
export type * from "./contract/shared-nouns.ts";
export type * from "./contract/system.ts";
export type * from "./contract/volumes.ts";

export interface EngineDoors {
  containers: Containers;
  images: Images;
  volumes: Volumes;
  networks: Networks;
  events: Events;
  /** Plugins that every request and every answer is shown to. */
  authorization: AuthorizationDoor;
  system: System;
  builds: Builds;
  explain: Explain;
}
