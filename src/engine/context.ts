// What every verb works with. Made once by the composition root (src/daemon/wire-engine.ts);
// tests make one with fakes. It holds no logic.

import type { KeyedMutex, Logger } from "../base/index.ts";
import type { DistributionOptions, Registries } from "../distribution/index.ts";
import type { Monitor, Native } from "../native/index.ts";
import type { NetworkLayer } from "../network/index.ts";
import type { RootFiles, Storage } from "../storage/index.ts";
import type { BuilderOptions } from "./build/cache/gc-policy.ts";
import type { LiveContainers } from "./containers/live.ts";
import type { ContainerRegistry } from "./containers/registry.ts";
import type { EventBus } from "./events/bus.ts";
import type { EnginePaths } from "./paths.ts";
import type { RuntimePlans } from "./runtime-plans.ts";
import type { VolumeRegistry } from "./volumes/registry.ts";

export interface EngineOptions {
  dataRoot: string;
  execRoot: string;
  /** Containers go on running when the engine closes. Docker's default is false, ours true. */
  liveRestore: boolean;
  /** Parent of the containers' cgroups, relative to each hierarchy: "gantry". */
  cgroupParent: string;
  /** No other engine puts containers there: what is not in the records is stray. */
  cgroupParentIsOwn: boolean;
  /** How long `close` gives containers to stop where liveRestore is off. */
  shutdownTimeoutSeconds: number;
  /** What `version` and `info` say of this program. */
  version: string;
  buildId: string;
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
  };
  /** Registries: which are insecure, mirrors, limits of transfers. */
  distribution: Omit<DistributionOptions, "userAgent">;
  labels: string[];
  debug: boolean;
  /** What `info` says of the network layer's own options. */
  networkFacts?: { addressPools: readonly { Base: string; Size: number }[]; firewall: boolean };
  /** `builder` of daemon.json. */
  builder?: BuilderOptions;
}

export interface EngineContext {
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
  readonly registries: Registries;
  readonly bus: EventBus;
  /** One transition of a container at a time, by id. */
  readonly transitions: KeyedMutex;
  /** Set when the engine closes: nothing is restarted any more. */
  readonly closing: AbortController;
}
