// The `daemon reload` event, with docker's attributes: what is in force after a SIGHUP.

import { hostname } from "node:os";
import type { EngineContext } from "../context.ts";

export function announceReload(engine: EngineContext): void {
  const { options, runtime } = engine;
  const { defaults, distribution } = options;
  const v1 = runtime.kernel.cgroup.version !== 2;
  const mirrors = distribution.mirrors.map((mirror) => mirror.replace(/\/$/, ""));
  engine.bus.publish("daemon", "reload", engine.id, {
    name: hostname(),
    debug: String(options.debug),
    labels: JSON.stringify(options.labels),
    "live-restore": String(options.liveRestore),
    "shutdown-timeout": String(options.shutdownTimeoutSeconds),
    "default-cgroupns-mode": defaults.cgroupnsMode || (v1 ? "host" : "private"),
    "default-ipc-mode": defaults.ipcMode,
    "default-shm-size": String(defaults.shmSizeBytes),
    "default-runtime": options.runtimes?.default ?? "runc",
    runtimes: Object.entries(options.runtimes?.registered ?? {})
      .map(([name, { path = "" }]) => `${name}:${path}`)
      .join(" "),
    features: goMap(options.features ?? {}),
    "insecure-registries": JSON.stringify(distribution.insecureRegistries),
    "registry-mirrors": JSON.stringify(mirrors),
    "max-concurrent-downloads": String(distribution.maxConcurrentDownloads),
    "max-concurrent-uploads": String(distribution.maxConcurrentUploads),
    "max-download-attempts": String(distribution.maxDownloadAttempts),
  });
}

function goMap(values: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, value]) => `${key}:${value}`).join(" ")}]`;
}
