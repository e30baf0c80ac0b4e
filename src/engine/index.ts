// The engine's door: openEngine() reconciles what is remembered with what is there and returns the
// doors that every way in (HTTP, CRI, library) calls. Parts are given: this folder says no `new` of
// another layer.

import { mkdir } from "node:fs/promises";
import { KeyedMutex, type Logger } from "../base/index.ts";
import { Registries } from "../distribution/index.ts";
import type { Monitor, Native } from "../native/index.ts";
import type { NetworkLayer } from "../network/index.ts";
import type { RootFiles, Storage } from "../storage/index.ts";
import { AppArmor } from "./apparmor/index.ts";
import { buildVerbs, openCache } from "./build/index.ts";
import { followHostResolvers } from "./containers/host-resolvers.ts";
import { containerVerbs } from "./containers/index.ts";
import { LiveContainers } from "./containers/live.ts";
import type { ContainerRecord } from "./containers/record.ts";
import { ContainerRegistry } from "./containers/registry.ts";
import { stopRunning } from "./containers/stop.ts";
import type { EngineContext, EngineOptions } from "./context.ts";
import type { EngineDoors } from "./contract.ts";
import { EventBus } from "./events/bus.ts";
import { EVENT_LIMITS, EventLog } from "./events/event-log.ts";
import { adviseFullDisk } from "./explain/advise-disk.ts";
import { explainVerbs } from "./explain/verbs.ts";
import { clearBootstraps } from "./images/bootstrap.ts";
import { imageVerbs } from "./images/index.ts";
import { LogShipping, localLog } from "./log-drivers/index.ts";
import { checkDefaultLog, openLogKeeper } from "./logs/index.ts";
import { openMetrics, scraper } from "./metrics/index.ts";
import { networkVerbs } from "./networks/verbs.ts";
import { enginePaths } from "./paths.ts";
import { Authorization } from "./plugins/authorization.ts";
import { PLUGIN_FOLDERS } from "./plugins/find-plugin.ts";
import { Plugins } from "./plugins/plugins.ts";
import { VolumeDrivers } from "./plugins/volume-drivers.ts";
import { applyRestartPolicies, recover } from "./recovery.ts";
import type { RuntimePlans } from "./runtime-plans.ts";
import { SeLinux } from "./selinux/index.ts";
import { announceReload } from "./system/announce-reload.ts";
import { cgroupTree } from "./system/cgroups.ts";
import { systemDf } from "./system/df.ts";
import { diagnose } from "./system/diagnose.ts";
import { engineId } from "./system/engine-id.ts";
import { systemInfo } from "./system/info.ts";
import { planPrune } from "./system/prune-plan.ts";
import { systemVersion } from "./system/version.ts";
import { openUserNamespaces } from "./userns/index.ts";
import { type VolumeRecord, VolumeRegistry } from "./volumes/registry.ts";
import { volumeVerbs } from "./volumes/verbs.ts";
import { VolumeMounts } from "./volumes/volume-mounts.ts";

export type {
  EngineContext,
  EngineOptions,
  RegisteredRuntime,
  SecurityDefaults,
} from "./context.ts";
export type * from "./contract.ts";
export type { CgroupPaths, CgroupPlacement, RuntimePlans } from "./runtime-plans.ts";

export { checkUserNamespaces } from "./userns/index.ts";

export interface EngineParts {
  storage: Storage;
  files: RootFiles;
  native: Native;
  network: NetworkLayer;
  runtime: RuntimePlans;
  log: Logger;
  connectMonitor(socketPath: string): Promise<Monitor>;
}

export interface RunningEngine extends EngineDoors {
  /** Takes up options that were changed in place: registries, mirrors, proxies. */
  reconfigure(): void;
  /** What is under way, for people who look for the cause of a hang. */
  diagnose(): Record<string, unknown>;
  /** Containers go on running when liveRestore is set; otherwise they are stopped first. The
   * parts stay open: whoever made them closes them. */
  close(): Promise<void>;
}

export async function openEngine(
  options: EngineOptions,
  parts: EngineParts,
): Promise<RunningEngine> {
  checkDefaultLog(options.defaults);
  const engine = await makeContext(options, parts);
  const names = (): string[] => options.authorizationPlugins ?? [];
  const authorization = new Authorization(engine.plugins, names, parts.log);
  await authorization.validate(names(), { atStart: true });
  const cache = openCache(engine);
  await recover(engine);
  const builds = await buildVerbs(engine, cache);
  await clearBootstraps(engine);
  void applyRestartPolicies(engine);
  for (const { id } of engine.containers.all()) engine.logs.tidy(id);
  followHostResolvers(engine);
  const metrics = await openMetrics(engine);
  const timed = metrics.timed({
    containers: containerVerbs(engine),
    images: imageVerbs(engine),
    networks: networkVerbs(engine),
    builds,
  });
  return {
    ...timed,
    volumes: volumeVerbs(engine),
    explain: explainVerbs(engine),
    events: engine.bus,
    authorization,
    system: {
      info: () => systemInfo(engine),
      version: () => systemVersion(engine),
      metrics: scraper(engine, metrics),
      cgroups: (o) => cgroupTree(engine, o),
      adviseFullDisk: () => adviseFullDisk(engine),
      planPrune: (o) => planPrune(engine, o, builds.planPrune),
      df: (o) => systemDf(engine, { ...o, buildCache: builds.usage }),
    },
    reconfigure: () => {
      engine.registries.configure(options.distribution);
      announceReload(engine);
    },
    diagnose: () => diagnose(engine),
    close: async () => {
      engine.closing.abort();
      await builds.idle();
      await closeEngine(engine);
      engine.bus.close();
    },
  };
}

async function makeContext(options: EngineOptions, parts: EngineParts): Promise<EngineContext> {
  const paths = enginePaths(options);
  await mkdir(paths.containers, { recursive: true, mode: 0o710 });
  await mkdir(paths.volumes, { recursive: true, mode: 0o701 });
  await mkdir(paths.monitors, { recursive: true, mode: 0o700 });
  const { records } = parts.storage;
  const transitions = new KeyedMutex();
  const plugins = new Plugins(options.pluginFolders ?? PLUGIN_FOLDERS, parts.log);
  const owed = records.collection<{ ids: string[] }>("volume-unmounts");
  const drivers = new VolumeDrivers(plugins, owed, parts.log);
  const engine: EngineContext = {
    id: await engineId(options.dataRoot),
    options,
    paths,
    log: parts.log,
    storage: parts.storage,
    files: parts.files,
    native: parts.native,
    network: parts.network,
    runtime: parts.runtime,
    connectMonitor: parts.connectMonitor,
    containers: new ContainerRegistry(records.collection<ContainerRecord>("containers")),
    live: new LiveContainers(),
    userns: await openUserNamespaces(
      options.userns ?? { remap: "", pool: "", defaultMode: "" },
      (message) => parts.log.warn(message),
    ),
    apparmor: await AppArmor.open(
      { apparmor: parts.runtime.kernel.apparmor, execRoot: options.execRoot },
      parts.log,
      (line) => parts.runtime.kernel.warnings.push(line),
    ),
    selinux: await SeLinux.open(options.selinux === true, parts.log, (line) =>
      parts.runtime.kernel.warnings.push(line),
    ),
    volumes: new VolumeRegistry({
      records: records.collection<VolumeRecord>("volumes"),
      paths,
      lock: transitions,
      native: parts.native,
      mounts: new VolumeMounts(parts.native, paths, drivers, parts.log),
      drivers,
    }),
    registries: new Registries({
      ...options.distribution,
      userAgent: `docker/${options.version} gantry/${options.version} os/linux`,
    }),
    bus: new EventBus(EventLog.open(paths.events, options.events ?? EVENT_LIMITS, parts.log)),
    shipping: new LogShipping({ logs: (c) => localLog(engine, c), log: parts.log }),
    logs: await openLogKeeper(() => engine, options, paths),
    plugins,
    transitions,
    probes: { count: 0, failed: 0 },
    closing: new AbortController(),
  };
  return engine;
}

async function closeEngine(engine: EngineContext): Promise<void> {
  engine.closing.abort();
  const running = engine.containers.all().filter((c) => c.run);
  if (!engine.options.liveRestore) {
    const { shutdownTimeoutSeconds } = engine.options;
    await Promise.all(
      running.map((c) => {
        const own = c.config.StopTimeout ?? engine.options.defaults.stopTimeoutSeconds;
        const timeoutSeconds = Math.min(own, shutdownTimeoutSeconds);
        return stopRunning(engine, c, { timeoutSeconds }).catch((error) => {
          engine.log.error("Failed to stop a container at shutdown", { id: c.id, error });
        });
      }),
    );
  }
  // What is under way (an exit that is being handled, a removal) still needs the stores.
  await engine.transitions.idle();
  for (const live of engine.live.values()) {
    clearTimeout(live.restartTimer);
    live.stopHealth?.();
    live.failPendingAttaches();
    live.leave();
  }
  await engine.shipping.close();
  await engine.logs.close();
}
