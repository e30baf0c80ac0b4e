// What every verb works with. Made once by the composition root (src/daemon/wire-engine.ts);
// tests make one with fakes. It holds no logic.

import type { KeyedMutex, Logger } from "../base/index.ts";
import type { DistributionOptions, Registries } from "../distribution/index.ts";
import type { Monitor, Native } from "../native/index.ts";
import type { NetworkLayer } from "../network/index.ts";
import type { RootFiles, Storage } from "../storage/index.ts";
import type { AppArmor } from "./apparmor/index.ts";
import type { BuilderOptions } from "./build/cache/gc-policy.ts";
import type { LiveContainers } from "./containers/live.ts";
import type { ContainerRegistry } from "./containers/registry.ts";
import type { EventBus } from "./events/bus.ts";
import type { EventLimits } from "./events/event-log.ts";
import type { LogShipping } from "./log-drivers/index.ts";
import type { LogKeeper } from "./logs/index.ts";
import type { EnginePaths } from "./paths.ts";
import type { Plugins } from "./plugins/plugins.ts";
import type { RuntimePlans } from "./runtime-plans.ts";
import type { SeLinux } from "./selinux/index.ts";
import type { UserNamespaces, UsernsOptions } from "./userns/index.ts";
import type { VolumeRegistry } from "./volumes/registry.ts";

/** As daemon.json's `runtimes` has it: a program (and its arguments), or a containerd shim. */
export interface RegisteredRuntime {
  path?: string;
  runtimeArgs?: string[];
  runtimeType?: string;
  options?: Record<string, unknown>;
}
export interface SecurityDefaults {
  noNewPrivileges: boolean;
  /** "unconfined" or the JSON text of a profile; absent: the builtin one. */
  seccomp?: string;
  /** What `info` calls it: "builtin", "unconfined" or the profile's path. */
  seccompName?: string;
  /** Name of the AppArmor profile; absent: none. */
  apparmor?: string;
}

export interface EngineOptions {
  dataRoot: string;
  execRoot: string;
  /** Containers go on running when the engine closes. Docker's default is false, ours true. */
  liveRestore: boolean;
  /** Who makes cgroups; cgroupfs, this program itself, where it is not said. */
  cgroupDriver?: "cgroupfs" | "systemd";
  /** Parent of the containers' cgroups, relative to each hierarchy: "gantry"; with systemd a slice:
   * "gantry.slice". */
  cgroupParent: string;
  /** No other engine puts containers there: what is not in the records is stray. */
  cgroupParentIsOwn: boolean;
  /** How long `close` gives containers to stop where liveRestore is off. */
  shutdownTimeoutSeconds: number;
  /** What `version` and `info` say of this program. */
  version: string;
  buildId: string;
  /** When the native program was built, RFC 3339. */
  buildTime?: string;
  /** How the API is served, where that is dangerous: for `info`. */
  doorWarnings?: string[];
  /** Daemon-wide defaults (daemon.json). */
  defaults: {
    logDriver: string;
    logOptions: Record<string, string>;
    shmSizeBytes: number;
    ipcMode: string;
    cgroupnsMode: string;
    init: boolean;
    dns: string[];
    dnsOptions: string[];
    dnsSearch: string[];
    ulimits: { Name: string; Soft: number; Hard: number }[];
    stopTimeoutSeconds: number;
    /** What a container may write where it asks for no --storage-opt size. */
    storageBytes?: number;
    /** Of containers whose --security-opt says nothing else. */
    security?: SecurityDefaults;
    /** What `host-gateway` stands for; by itself the gateway of the container's network. */
    hostGateways?: string[];
    /** Instead of the host's /etc/resolv.conf. */
    resolvConf?: string;
    /** Instead of the init that is part of Gantry, a program of the host. */
    initPath?: string;
  };
  /** OCI runtimes by name, and the one of containers that name none ("runc", which is ours). */
  runtimes?: { default: string; registered: Readonly<Record<string, RegisteredRuntime>> };
  /** Where CDI devices are described; [] switches them off. */
  cdiSpecDirs?: string[];
  /** Where plugins are looked for. */
  pluginFolders?: { sockets: string; specs: string[] };
  /** Plugins that every request is shown to, in this order. */
  authorizationPlugins?: string[];
  /** Nothing here is experimental: only what `info` and `version` say. */
  experimental?: boolean;
  features?: Record<string, boolean>;
  /** Registries: which are insecure, mirrors, limits of transfers. */
  distribution: Omit<DistributionOptions, "userAgent">;
  /** All local logs together, in bytes; 0: no limit; absent: a share of the file system. */
  logBudgetBytes?: number;
  /** Containers have SELinux labels where the kernel has a policy. */
  selinux?: boolean;
  /** User namespaces of containers; absent: none but those that are asked for. */
  userns?: UsernsOptions;
  labels: string[];
  debug: boolean;
  /** What `info` says of the network layer's own options. */
  networkFacts?: { addressPools: readonly { Base: string; Size: number }[]; firewall: boolean };
  /** How many events are kept, and for how long. */
  events?: EventLimits;
  /** `builder` of daemon.json. */
  builder?: BuilderOptions;
}

export interface EngineContext {
  /** Of this data root, for ever. */
  readonly id: string;
  readonly options: EngineOptions;
  readonly paths: EnginePaths;
  readonly log: Logger;
  readonly storage: Storage;
  readonly files: RootFiles;
  readonly native: Native;
  readonly network: NetworkLayer;
  readonly runtime: RuntimePlans;
  /** Connects to a monitor's socket; rejects when nobody listens. */
  connectMonitor(socketPath: string): Promise<Monitor>;
  readonly containers: ContainerRegistry;
  readonly live: LiveContainers;
  readonly volumes: VolumeRegistry;
  readonly userns: UserNamespaces;
  readonly apparmor: AppArmor;
  readonly selinux: SeLinux;
  readonly registries: Registries;
  readonly bus: EventBus;
  readonly plugins: Plugins;
  /** Logs on their way to remote drivers. */
  readonly shipping: LogShipping;
  /** Compresses rotated logs, and holds them within the host's budget. */
  readonly logs: LogKeeper;
  /** One transition of a container at a time, by id. */
  readonly transitions: KeyedMutex;
  /** What health checks came to, for the metrics. */
  readonly probes: { count: number; failed: number };
  /** Set when the engine closes: nothing is restarted any more. */
  readonly closing: AbortController;
}
