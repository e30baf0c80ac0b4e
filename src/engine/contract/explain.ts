// The door to explanations: what a start would do, what a running container really has, and why
// an ended one ended. Facts are data for programs; sections are the same for people.

import type { ExplainLine, NetworkSeen, PublishedPort } from "../../network/index.ts";
import type { MountInfo, OperationFact, PlanFacts } from "../../runtime/index.ts";
import type { CreateRequest } from "./containers.ts";
import type { Signal } from "./shared-nouns.ts";

export interface Explain {
  /** What `create` and `start` of this request would do now. Nothing is made, taken or started. */
  plan(request: CreateRequest, o?: Signal): Promise<ContainerExplanation>;
  /** Of a running container what the kernel says now, beside what was asked for; of an ended one
   * why it ended. */
  container(ref: string, o?: Signal): Promise<ContainerExplanation>;
}

export interface ContainerExplanation {
  about: {
    state: "planned" | "created" | "running" | "paused" | "restarting" | "ended";
    /** Absent where it is not made. */
    id?: string;
    name: string;
    image: string;
    pid?: number;
  };
  warnings: string[];
  sections: ExplainSection[];
  facts: ExplainFacts;
  /** What the kernel is told, in order. */
  operations: OperationFact[];
}

export interface ExplainSection {
  id: string;
  title: string;
  lines: ExplainItem[];
}
export interface ExplainItem {
  what: string;
  says: string;
  /** "same": the kernel agrees; "differs": `live` is what it has; "note": worth knowing. */
  mark?: "same" | "differs" | "note";
  live?: string;
}

export interface ExplainFacts {
  image: ImageFacts;
  plan: PlanFacts;
  seccomp: SeccompFacts;
  network: NetworkFacts;
  container: ContainerFacts;
  live?: LiveFacts;
  end?: EndFacts;
}

export interface ImageFacts {
  reference: string;
  id: string;
  platform: string;
  hostPlatform: string;
  /** In the order in which they were made. */
  layers: LayerFact[];
}
export interface LayerFact {
  diffId: string;
  /** The blob that it came as. */
  digest?: string;
  /** Bytes of files; 0 where it is not here. */
  size: number;
  folder: string;
  /** Of one that is not here: bytes that a pull would fetch. */
  pullBytes?: number;
}

export interface SeccompFacts {
  profile: "default" | "custom" | "none";
  /** The flag, or what else decides that. */
  why: string;
  defaultAction?: string;
  /** System calls by what happens to them, named by the profile. */
  allowed: number;
  /** Allowed with certain arguments only. */
  conditional: string[];
  architectures: string[];
  instructions: number;
  /** Against the profile of a container without flags. */
  more: string[];
  less: string[];
}

export interface NetworkFacts {
  mode: string;
  endpoints: EndpointFacts[];
  /** Whom the container asks for names. */
  nameServers: string[];
  resolver: boolean;
  messages: { route: number; firewall: number };
}
export interface EndpointFacts {
  network: string;
  driver: string;
  subnets: string[];
  bridge?: string;
  internal: boolean;
  interfaceName: string;
  hostInterface: string;
  mac: string;
  addresses: string[];
  gateways: string[];
  ports: PublishedPort[];
  names: string[];
}

export interface ContainerFacts {
  hostname: string;
  user: string;
  entrypoint: string[];
  command: string[];
  privileged: boolean;
  capAdd: string[];
  capDrop: string[];
  init: boolean;
  stopSignal: string;
  stopSeconds: number;
  restart: string;
  autoRemove: boolean;
  health: string;
  log: { driver: string; options: Record<string, string>; path: string };
  /** The monitor's socket, by which the daemon finds it again. */
  monitor: string;
  apparmor: string;
  /** The label of its process, or "" for none. */
  selinux: string;
}

export interface LiveFacts {
  pid: number;
  startedAt: string;
  command: string[];
  executable: string;
  workingFolder: string;
  namespaces: { type: string; inode: string; sharedWithHost: boolean }[];
  mounts: MountInfo[];
  /** Which of the masked and read-only paths are there at all. */
  hideable: string[];
  /** Cgroup files that the plan wrote, by path. */
  cgroupFiles: Record<string, string>;
  processes: number;
  memoryBytes?: number;
  status: ProcessStatus;
  rlimits: { name: string; soft: string; hard: string }[];
  oomScoreAdj: number;
  sysctls: Record<string, string>;
  hostname: string;
  network: NetworkSeen;
  firewall: ExplainLine[];
  descriptors: { count: number; standard: string[] };
}
export interface ProcessStatus {
  uid: number;
  gid: number;
  groups: number[];
  capabilities: {
    bounding: string[];
    effective: string[];
    permitted: string[];
    inheritable: string[];
    ambient: string[];
  };
  seccompMode: number;
  seccompFilters: number;
  noNewPrivileges: boolean;
  threads: number;
}

/** Why a container ended, as far as the daemon knows. */
export interface EndFacts {
  exitCode: number;
  /** Name of the signal that ended it. */
  signal?: string;
  at: string;
  ranSeconds: number;
  reason:
    | "finished"
    | "failed"
    | "not-started"
    | "out-of-memory"
    | "stopped"
    | "killed-after-grace"
    | "killed-by-user"
    | "killed-by-others"
    | "lost";
  /** One sentence. */
  says: string;
  /** Of one that could not be started: what stood behind it. */
  cause?: string;
  remedy?: string;
  memory?: { limitBytes?: number; peakBytes?: number; failures?: number };
}
