// What the engine may ask of the runtime: pure planners. The caller gives everything that must be
// known; the result is data.

import type { MonitorConfig, Operation, Plan } from "../native/index.ts";
import type { OciSpec, RootfsMount } from "../spec/index.ts";
import type { RdtPlace, RdtState } from "./plan-rdt.ts";

/** Facts about the kernel and host, probed once (probe.ts). */
export interface KernelFeatures {
  release: string;
  arch: "x86_64" | "aarch64";
  cgroup: CgroupLayout;
  overlayLowerdirAppend: boolean; // fsconfig lowerdir+ (6.5)
  idmappedOverlay: boolean;
  timeNamespace: boolean;
  apparmor: boolean;
  selinux: boolean;
  /** Where resctrl is mounted (Intel RDT, AMD QoS). */
  resctrl?: string;
  seccompActions: string[];
  lastCapability: number;
  /** Capabilities that this process itself holds: nothing else can be given. */
  heldCapabilities: bigint;
  warnings: string[]; // for `info`
  /** This process's own oom_score_adj. */
  oomScoreAdj?: number;
  /** Online CPUs ("0-1") and memory nodes, as cpuset takes them. */
  cpus?: string;
  mems?: string;
  memoryTotalBytes?: number;
  /** Interface files of the controllers that exist here ("memory.memsw.limit_in_bytes"). */
  cgroupFiles?: ReadonlySet<string>;
  /** Per-CPU thermal_throttle folders that exist: Docker masks them. */
  thermalThrottlePaths?: readonly string[];
  /** Whether there is a /proc/kcore for /dev/core to lead to; absent: not looked at. */
  kcore?: boolean;
}
export interface CgroupLayout {
  version: 1 | 2 | "hybrid";
  /** Controller → mount point, found in mountinfo; v1 named hierarchies as "name=systemd". */
  v1: ReadonlyMap<string, string>;
  /** Mount point of the unified hierarchy, if any, and its available controllers. */
  v2?: { path: string; controllers: readonly string[] };
}

/** The network's share of a plan. Slots 40–59 are its own. `netns` is a slot holding the
 * container's network namespace; the container waits until `host` is done. */
export interface NetworkShare {
  host(slots: { pid: number; netns: number }): Operation[];
  teardown(): Operation[];
}

/** A container whose standard streams are those of whoever runs the plan. */
export interface Standalone {
  /** A socket on which the container waits to be started (releaseStart). */
  startSocket: string;
  /** A file that is made once the cgroups are known to be nobody else's: before it is there, what
   * lives in them is not the container's. */
  claimFile: string;
  /** Descriptors from 3 on that it inherits. */
  preserveFds: number;
  /** The session keyring of the caller is kept. */
  keepKeyring?: boolean;
  /** The root is moved over "/" instead of pivoted, for a host whose root is an initramfs. */
  noPivot?: boolean;
}

/** Another OCI runtime, which makes the container from the config.json in `bundle`. */
export interface ForeignRuntime {
  path: string;
  args: readonly string[];
  /** Its state folder, where that is not in the bundle, and flags of its `run`. */
  root?: string;
  runArgs?: readonly string[];
  bundle: string;
}

/** An interface of the host as it was found before the plan was made. */
export interface NetDevice {
  index: number;
  /** Its name in the container; a "%d" at the end stands for a number that the kernel chooses. */
  to: string;
  /** What it keeps: permanent addresses of global scope. */
  addresses: readonly NetAddress[];
}
export interface NetAddress {
  family: number; // AF_INET, AF_INET6
  prefix: number;
  flags: number;
  /** IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY as they are. */
  attributes: readonly { type: number; data: Uint8Array }[];
}

export interface CreateInput {
  id: string;
  spec: OciSpec;
  rootfs: RootfsMount;
  kernel: KernelFeatures;
  network?: NetworkShare;
  foreign?: ForeignRuntime;
  /** Cgroup folders ("/gantry") that planCgroupParents has made: nothing is done for them. */
  preparedParents?: ReadonlySet<string>;
  /** Where the container has no monitor: gantry-runtime's. */
  standalone?: Standalone;
  /** Interfaces of the host that are moved into the container's network namespace, as they are
   * now; absent: linux.netDevices is refused. */
  netDevices?: readonly NetDevice[];
  /** The host's resctrl as it is now; absent: linux.intelRdt is refused. */
  rdt?: RdtState;
  /** The folder that hooks are told of; hooks need it. */
  bundle?: string;
  /** In a user namespace: /dev is made where mknod is allowed, and its nodes belong to the
   * namespace's root. Otherwise the host's nodes are bound. */
  ownDevices?: boolean;
  /** Joining other containers: absolute namespace paths are in spec.linux.namespaces. */
  monitor: Omit<MonitorConfig, "oomPath">;
}
export interface PlannedCreate {
  plan: Plan;
  monitor: MonitorConfig;
  /** Host-half indexes of operations whose results the engine wants. */
  results: Record<string, number>;
  cgroupPaths: Record<string, string>; // controller → absolute folder ("" key: v2)
  /** The class of service that the container has entered. */
  rdt?: RdtPlace;
}
