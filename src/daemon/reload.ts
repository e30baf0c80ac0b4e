// SIGHUP: reads daemon.json again and applies the options that may change while containers run.
// A file that does not load changes nothing; what it changes beyond them waits for a restart, which
// is said.

import type { Logger } from "../base/index.ts";
import type { AuthorizationDoor } from "../engine/index.ts";
import { conceal } from "./conceal.ts";
import type { Config } from "./config.ts";
import { loadSettings } from "./load-settings.ts";
import { options } from "./option-table.ts";
import type { Program } from "./program.ts";
import type { Settings } from "./settings.ts";

/** Changes `settings` (and what the engine sees of them) in place; an open engine has to be told
 * (RunningEngine.reconfigure). Returns the configuration that is in force now. */
export async function reload(
  argv: readonly string[],
  o: {
    about: Program;
    config: Config;
    settings: Settings;
    log: Logger;
    authorization: Pick<AuthorizationDoor, "validate">;
  },
): Promise<Config> {
  const { settings, log } = o;
  log.info("Got signal to reload configuration", { "config-file": o.config.configFile });
  const { config, settings: next } = await loadSettings(argv, o.about);
  if (next === undefined) return o.config;
  // Before anything changes: with a plugin that is not there nothing would be allowed any more.
  await o.authorization.validate(next.engine.authorizationPlugins ?? []);
  const { engine } = settings;
  engine.debug = next.engine.debug;
  engine.labels = next.engine.labels;
  engine.liveRestore = next.engine.liveRestore;
  engine.shutdownTimeoutSeconds = next.engine.shutdownTimeoutSeconds;
  const { storageBytes, resolvConf } = engine.defaults;
  replace(engine.defaults, next.engine.defaults);
  // These two are looked at when the daemon starts.
  if (storageBytes !== undefined) engine.defaults.storageBytes = storageBytes;
  if (resolvConf !== undefined) engine.defaults.resolvConf = resolvConf;
  if (next.engine.runtimes !== undefined) engine.runtimes = next.engine.runtimes;
  engine.features = next.engine.features ?? {};
  engine.authorizationPlugins = next.engine.authorizationPlugins ?? [];
  if (engine.events && next.engine.events) Object.assign(engine.events, next.engine.events);
  Object.assign(engine.distribution, next.engine.distribution);
  settings.logLevel = next.logLevel;
  log.level = next.logLevel;
  for (const warning of [...config.warnings, ...next.warnings]) log.warn(warning);
  for (const key of waiting(o.config, config)) {
    log.warn(`Option ${key} has changed: the daemon takes it up when it is started again`);
  }
  const keys = options.filter((option) => option.reload && option.effect.does === "works");
  const shown = Object.fromEntries(
    keys.map(({ key }) => [key, conceal(config.values.get(key), key)]),
  );
  log.info("Reloaded configuration", shown);
  return config;
}

/** Options that differ and that no reload applies. */
function waiting(before: Config, now: Config): string[] {
  const differs = (key: string): boolean =>
    JSON.stringify(before.values.get(key)) !== JSON.stringify(now.values.get(key));
  return options
    .filter((option) => !option.reload && option.effect.does === "works" && differs(option.key))
    .map(({ key }) => key);
}

/** In place: others hold this object. */
function replace<T extends object>(target: T, source: T): void {
  for (const key of Object.keys(target)) if (!(key in source)) delete target[key as keyof T];
  Object.assign(target, source);
}
