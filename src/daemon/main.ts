// The daemon, from argv to exit code: configuration, lock, pid file, engine, doors; then signals.
// The doors open last and close first.

import { createApi } from "../api/index.ts";
import { createLogger, GantryError, type Logger, messageOf, Rollback } from "../base/index.ts";
import type { EngineOptions, RunningEngine } from "../engine/index.ts";
import type { Native } from "../native/index.ts";
import type { NetworkOptions } from "../network/index.ts";
import type { Config } from "./config.ts";
import { lockRoot } from "./data-root-lock.ts";
import { openDoors } from "./doors.ts";
import { Dump } from "./dump.ts";
import { daemonHelp } from "./help.ts";
import { loadSettings } from "./load-settings.ts";
import { openMetricsDoor } from "./metrics-door.ts";
import { writePidfile } from "./pidfile.ts";
import { type Program, program } from "./program.ts";
import { reload } from "./reload.ts";
import type { Settings } from "./settings.ts";
import { awaitShutdown, EarlySignals, onDumpSignal } from "./signals.ts";
import { ServiceManager, takeServiceEnvironment } from "./systemd.ts";
import { loadTls } from "./tls.ts";

const SERVING = "Serving containers";

/** `native` speaks to the service manager. */
export type WiredEngine = RunningEngine & { native?: Native };

/** Opens the engine and everything beneath it. */
export type MakeEngine = (
  engine: EngineOptions,
  network: NetworkOptions,
  log: Logger,
) => Promise<WiredEngine>;

/** Runs the daemon until it is told to stop; returns its exit code. Never throws. */
export async function runDaemon(
  argv: readonly string[],
  { makeEngine = wiredEngine }: { makeEngine?: MakeEngine } = {},
): Promise<number> {
  let config: Config;
  let settings: Settings | undefined;
  const about = await program();
  try {
    ({ config, settings } = await loadSettings(argv, about));
    if (settings?.tls !== undefined) await loadTls(settings.tls);
  } catch (error) {
    const usage = error instanceof GantryError && error.detail["usage"] === true;
    process.stderr.write(`${messageOf(error)}\n${usage ? "See 'gantry daemon --help'.\n" : ""}`);
    return 1;
  }
  if (config.showHelp) return say(daemonHelp());
  if (settings === undefined) {
    return say(`Gantry version ${about.version}, build ${about.buildId}\n`);
  }
  if (config.validateOnly) {
    process.stderr.write("configuration OK\n");
    return 0;
  }
  const log = createLogger({ level: settings.logLevel, format: settings.logFormat });
  for (const warning of [...config.warnings, ...settings.warnings]) log.warn(warning);
  const early = new EarlySignals(log);
  const dump = new Dump(settings.engine.execRoot, about, log);
  onDumpSignal(() => dump.write(), log);
  try {
    await serve(argv, settings, { about, config, makeEngine, log, dump, early });
    return 0;
  } catch (error) {
    log.error("Failed to start daemon", { error });
    process.stderr.write(`${startFailure(error)}\n`);
    return 1;
  }
}

function startFailure(error: unknown): string {
  const message = messageOf(error);
  return message.startsWith("failed to ") ? message : `failed to start daemon: ${message}`;
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** Loaded only when it is needed: --help and --validate start without it. */
const wiredEngine: MakeEngine = async (engine, network, log) => {
  const { createEngine } = await import("./wire-engine.ts");
  return createEngine(engine, network, log);
};

interface Started {
  about: Program;
  config: Config;
  makeEngine: MakeEngine;
  log: Logger;
  dump: Dump;
  early: EarlySignals;
}

async function serve(argv: readonly string[], settings: Settings, o: Started): Promise<void> {
  const { about, makeEngine, log } = o;
  let { config } = o;
  const service = takeServiceEnvironment();
  if (process.getuid?.() !== 0) {
    throw new GantryError("forbidden", "the daemon needs to be started with root privileges");
  }
  process.umask(0o022); // files for containers must be readable there, whoever starts the daemon
  await using undo = new Rollback((what, error) =>
    log.error(`Failed to release ${what}`, { error }),
  );
  const lock = await lockRoot("data", settings.engine.dataRoot);
  undo.defer("the lock of the data root", () => lock.release());
  if (settings.pidfile !== "") {
    const pidfile = await writePidfile(settings.pidfile);
    undo.defer("the pid file", () => pidfile.remove());
  }
  const engine = await makeEngine(settings.engine, settings.network, log);
  let engineOpen = true;
  const closeEngine = async (): Promise<void> => {
    if (engineOpen) await engine.close();
    engineOpen = false;
  };
  undo.defer("the engine", closeEngine);
  if (settings.metricsAddress !== "") {
    const group = settings.socketGroup;
    const door = { system: engine.system, group, log };
    const metrics = await openMetricsDoor(settings.metricsAddress, door);
    undo.defer("the metrics", () => metrics.close());
  }
  const api = createApi({
    engine,
    serverVersion: about.version,
    minApiVersion: settings.minApiVersion,
    experimental: settings.engine.experimental === true,
    prefersBuildkit: () => settings.engine.features?.["buildkit"] !== false,
    guard: engine.authorization,
    log,
  });
  o.dump.add("requests", () => api.requests());
  o.dump.add("engine", () => engine.diagnose());
  const doors = await openDoors(api, settings, { passed: service.sockets, log });
  undo.defer("the listening sockets", () => doors.close());
  log.info("Daemon has completed initialization", { version: about.version });
  const manager = new ServiceManager(service, { native: engine.native, log });
  await manager.ready(SERVING);
  const signal = await awaitShutdown({
    log,
    early: o.early,
    onReload: async () => {
      await manager.reloading();
      try {
        const { authorization } = engine;
        config = await reload(argv, { about, config, settings, log, authorization });
        engine.reconfigure();
      } finally {
        await manager.ready(SERVING);
      }
    },
  });
  log.info(`Processing signal '${signal}'`);
  const { liveRestore, shutdownTimeoutSeconds } = settings.engine;
  await manager.stopping(liveRestore ? 0 : shutdownTimeoutSeconds);
  await doors.close();
  // Stopping containers takes as long as they were promised: no release deadline here.
  await closeEngine();
  log.info("Daemon shutdown complete");
}
