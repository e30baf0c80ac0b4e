// The environment of a process in a container: PATH, HOSTNAME, TERM and HOME unless the config
// says otherwise, then the config's own. A name without "=" takes the variable away.

import type { ContainerConfig } from "../../spec/index.ts";

const PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function containerEnv(config: ContainerConfig, home: string): string[] {
  const env = new Map<string, string>([["PATH", PATH_DEFAULT]]);
  if (config.Hostname) env.set("HOSTNAME", config.Hostname);
  if (config.Tty) env.set("TERM", "xterm");
  for (const entry of config.Env ?? []) {
    const equals = entry.indexOf("=");
    if (equals < 0) env.delete(entry);
    else env.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  if (!env.get("HOME")) env.set("HOME", home);
  return [...env].map(([name, value]) => `${name}=${value}`);
}
