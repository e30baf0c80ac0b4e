// What the doors may ask of building.

import type { Progress, Signal } from "../contract.ts";
import type { CachePruneOptions } from "./prune.ts";
import type { BuildRequest } from "./request.ts";

export type { CachePruneOptions } from "./prune.ts";
export type { BuildRequest } from "./request.ts";

export interface Builds {
  /** Docker's progress messages, the last of them naming the image. Commit point: the image is
   * stored. An aborted signal ends the running steps at once. */
  build(request: BuildRequest, o?: Signal): AsyncIterable<Progress>;
  /** Ends a build by the id that its request gave. Throws not-found. */
  cancel(buildId: string): void;
  /** Forgets cached steps and frees their layers; the least recently used first. */
  prune(o?: CachePruneOptions): Promise<{ deleted: string[]; spaceReclaimed: number }>;
}
