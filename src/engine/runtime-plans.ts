// What the engine needs of the runtime layer, gathered behind one interface: pure planners and
// the probed kernel. The composition root binds it to src/runtime; tests give doubles.

import type { Operation, Plan } from "../native/index.ts";
import type {
  CreateInput,
  ExecInput,
  KernelFeatures,
  MetricsSample,
  PlannedCreate,
  RestoreInput,
} from "../runtime/index.ts";
import type { OciResources } from "../spec/index.ts";

/** Controller → absolute folder; the unified hierarchy has the key "". */
export type CgroupPaths = Readonly<Record<string, string>>;

export interface ContainerSampler {
  read(hostSample: string): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** Who makes the cgroups of containers, and where. */
export interface CgroupPlacement {
  readonly driver: "cgroupfs" | "systemd";
  /** Of a container, from the root of each hierarchy; throws invalid where the parent is none. */
  pathFor(id: string, parent: string): string;
  /** The parent's own. */
  folderOf(parent: string): string;
}

export interface RuntimePlans {
  readonly kernel: KernelFeatures;
  readonly cgroups: CgroupPlacement;
  planCreate(input: CreateInput): PlannedCreate;
  planRestore(input: RestoreInput): PlannedCreate;
  planExec(input: ExecInput): Plan;
  planFreeze(paths: CgroupPaths, frozen: boolean): Operation[];
  planUpdate(paths: CgroupPaths, wanted: OciResources, previous: OciResources): Operation[];
  /** Kills what is left in the cgroups and removes them. */
  planCgroupRemove(paths: CgroupPaths): Operation[];
  /** Folders of containers beneath the parent cgroup, by container id. */
  findCgroups(parent: string): Promise<ReadonlyMap<string, CgroupPaths>>;
  /** Docker's stats members (cpu_stats, memory_stats …) of a running container, again and again. */
  openStats(paths: CgroupPaths, pid: number): ContainerSampler;
  /** The same at once, for a scrape of metrics: a tenth of a millisecond. Never throws. */
  sampleNow(paths: CgroupPaths, pid: number): MetricsSample;
  /** What all samples of a moment share. */
  readHostSample(): Promise<string>;
}
