// SIGHUP: reads daemon.json again and applies the options that may change while containers run.
// A file that does not load changes nothing.

import { homedir } from "node:os";
import type { Logger } from "../base/index.ts";
import { loadConfig } from "./config.ts";
import { options } from "./option-table.ts";
import { type Settings, toSettings } from "./settings.ts";

/** Changes `settings` (and what the engine sees of them) in place; an open engine has to be told
 * (RunningEngine.reconfigure). */
export async function reload(
  argv: readonly string[],
  settings: Settings,
  log: Logger,
): Promise<void> {
  const config = await loadConfig(argv);
  const { version, buildId } = settings.engine;
  const next = toSettings(config, { version, buildId, home: homedir(), env: process.env });
  const { engine } = settings;
  engine.debug = next.engine.debug;
  engine.labels = next.engine.labels;
  engine.liveRestore = next.engine.liveRestore;
  engine.shutdownTimeoutSeconds = next.engine.shutdownTimeoutSeconds;
  engine.defaults.shmSizeBytes = next.engine.defaults.shmSizeBytes;
  engine.defaults.ipcMode = next.engine.defaults.ipcMode;
  engine.defaults.cgroupnsMode = next.engine.defaults.cgroupnsMode;
  engine.defaults.stopTimeoutSeconds = next.engine.defaults.stopTimeoutSeconds;
  Object.assign(engine.distribution, next.engine.distribution);
  settings.logLevel = next.logLevel;
  log.level = next.logLevel;
  const keys = options.filter(({ reload, effect }) => reload && effect.does === "works");
  const shown = Object.fromEntries(keys.map(({ key }) => [key, config.values.get(key)]));
  log.info("Reloaded configuration", shown);
}
