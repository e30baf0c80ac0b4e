// What the parts of one plan of a creation share while it is made: what is asked for, what stands
// in slots already, and what has to wait for its turn.

import type { Operation } from "../native/index.ts";
import type { OciMount, OciSpec } from "../spec/index.ts";
import type { CgroupPlace } from "./cgroup/places.ts";
import type { CreateInput, KernelFeatures } from "./contract.ts";
import type { Namespaces } from "./namespaces.ts";
import type { PlanBuilder } from "./plan-builder.ts";
import type { PreparedSource } from "./plan-mounts.ts";
import type { RdtShare } from "./plan-rdt.ts";

/** Everything that the parts of one plan share. */
export interface Draft {
  input: CreateInput;
  spec: OciSpec;
  kernel: KernelFeatures;
  builder: PlanBuilder;
  namespaces: Namespaces;
  places: CgroupPlace[];
  binds: Map<OciMount, PreparedSource>;
  /** Host operations that come after clone: what did not fit into slots. */
  late: Operation[];
  /** The slot of a user namespace that is joined. */
  joinedUser: number | undefined;
  devices: Map<string, number> | undefined;
  /** Nodes that are in /dev already. */
  made: ReadonlySet<string>;
  /** Container operations that put the root over "/". */
  attachRoot: Operation[];
  results: Record<string, number>;
  /** Where the container waits to be started, of one without a monitor. */
  startSlot: number | undefined;
  rdt: RdtShare | undefined;
}
