// What the engine needs of the runtime layer, gathered behind one interface: pure planners and
// the probed kernel. The composition root binds it to src/runtime; tests give doubles.

import type { Native, Operation, Plan } from "../native/index.ts";
import type { CreateInput, ExecInput, KernelFeatures, PlannedCreate } from "../runtime/index.ts";
import type { OciResources } from "../spec/index.ts";

/** Controller → absolute folder; the unified hierarchy has the key "". */
export type CgroupPaths = Readonly<Record<string, string>>;

export interface RuntimePlans {
  readonly kernel: KernelFeatures;
  planCreate(input: CreateInput): PlannedCreate;
  planExec(input: ExecInput): Plan;
  planFreeze(paths: CgroupPaths, frozen: boolean): Operation[];
  planUpdate(paths: CgroupPaths, wanted: OciResources, previous: OciResources): Operation[];
  /** Kills what is left in the cgroups and removes them. */
  planCgroupRemove(paths: CgroupPaths): Operation[];
  /** Folders of containers beneath the parent cgroup, by container id. */
  findCgroups(parent: string): Promise<ReadonlyMap<string, CgroupPaths>>;
  /** Docker's stats members (cpu_stats, memory_stats …) of a running container. */
  readStats(paths: CgroupPaths, pid: number, native: Native): Promise<Record<string, unknown>>;
}
