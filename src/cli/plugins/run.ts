// Runs a plugin in this process' place, so that terminal, signals and exit code are its own. It
// gets the whole command line, as from docker's client, and finds the daemon that we would use.

import { callerPath } from "../io.ts";
import { PROGRAM, type Session } from "../session.ts";
import { describePlugin, findPlugins } from "./find.ts";

/** Undefined where there is no such plugin; else the exit code, unless the process was replaced. */
export async function runPlugin(
  session: Session,
  name: string,
  argv: readonly string[],
): Promise<number | undefined> {
  const plugin = findPlugins(session).find((one) => one.name === name);
  if (plugin === undefined) return undefined;
  if ((await describePlugin(session, plugin)) === undefined) return undefined;
  return session.io.become(plugin.path, argv, pluginEnvironment(session));
}

/** The caller's environment, and what tells a plugin who calls and where the daemon is. */
export function pluginEnvironment(session: Session): Record<string, string> {
  const { io, globals } = session;
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(io.env)) if (value !== undefined) env[key] = value;
  env["DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"] = PROGRAM;
  if (globals.changed.has("config")) {
    env["DOCKER_CONFIG"] = callerPath(io, globals.values.config);
  }
  const { isDefault, endpoint } = session.resolve();
  // Docker's own default is another socket than ours.
  if (isDefault) env["DOCKER_HOST"] = endpoint.text;
  return env;
}
