// The door to checkpoints: containers frozen to disk by CRIU, and brought back by `start`.

import type { Signal } from "./shared-nouns.ts";

export interface Checkpoint {
  Name: string;
}
export interface CheckpointCreateRequest {
  name: string;
  /** Instead of the container's own folder. */
  dir?: string;
  /** The container goes on. */
  leaveRunning?: boolean;
}
export interface Checkpoints {
  create(ref: string, request: CheckpointCreateRequest, o?: Signal): Promise<void>;
  list(ref: string, o?: { dir?: string }): Promise<Checkpoint[]>;
  remove(ref: string, name: string, o?: { dir?: string }): Promise<void>;
}
