// Who makes the cgroups of containers: this daemon with its own hands (cgroupfs), or systemd, which
// then owns the tree (docs/decisions/0164-systemd-over-the-bus.md). What differs between the two.

import type { CgroupPaths, CgroupPlacement } from "../engine/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { CreateInput, PlannedCreate, RestoreInput } from "../runtime/index.ts";
import type { OciResources } from "../spec/index.ts";

export interface CgroupDriver extends CgroupPlacement {
  /** What starts and updates containers from now on. */
  readonly native: Native;
  planCreate(input: CreateInput): PlannedCreate;
  planRestore(input: RestoreInput): PlannedCreate;
  planUpdate(paths: CgroupPaths, wanted: OciResources, previous: OciResources): Operation[];
  /** Containers' folders beneath the parent, by id. */
  find(parent: string): Promise<ReadonlyMap<string, CgroupPaths>>;
  /** Gives the parent back where nothing is in it. */
  close(parent: string): Promise<void>;
}
