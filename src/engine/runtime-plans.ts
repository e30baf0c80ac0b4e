// What the engine needs of the runtime layer, gathered behind one interface: pure planners and
// the probed kernel. wire-engine.ts binds it to src/runtime; tests give doubles.

import type { Native, Operation, Plan } from "../native/index.ts";
import type { CreateInput, KernelFeatures, PlannedCreate } from "../runtime/index.ts";
import type { OciProcess, OciResources } from "../spec/index.ts";

export interface ExecInput {
  containerId: string;
  execId: string;
  /** The container's init, whose namespaces are joined. */
  pid: number;
  process: OciProcess;
  cgroupPaths: Record<string, string>;
  privileged: boolean;
}

export interface RuntimePlans {
  readonly kernel: KernelFeatures;
  planCreate(input: CreateInput): PlannedCreate;
  planExec(input: ExecInput): Plan;
  freeze(cgroupPaths: Record<string, string>, frozen: boolean): Operation[];
  updateResources(cgroupPaths: Record<string, string>, resources: OciResources): Operation[];
  /** Kills what is in and removes the cgroups of containers that are not in `live`. */
  removeStrayCgroups(parent: string, live: ReadonlySet<string>, native: Native): Promise<void>;
}
