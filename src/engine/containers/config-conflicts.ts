// Options of one request that cannot go together, and health checks that make no sense: refused as
// dockerd refuses them, before the image's own config is merged in.

import { GantryError } from "../../base/index.ts";
import type { ContainerConfig, HealthConfig, HostConfig } from "../../spec/index.ts";
import { publishRequests } from "./publish-requests.ts";
import { parseSignal } from "./signals.ts";

const HEALTH_NANOSECONDS_MIN = 1_000_000;

const conflict = (what: string): GantryError =>
  new GantryError("invalid", `conflicting options: ${what}`);

/** Throws invalid with docker's wording. */
export function checkConflicts(config: ContainerConfig, host: HostConfig): void {
  if (host.UTSMode === "host" && config.Hostname) throw conflict("hostname and the UTS mode");
  if (host.NetworkMode?.startsWith("container:")) checkJoinedNetwork(config, host);
  if (config.WorkingDir && !config.WorkingDir.startsWith("/")) {
    throw new GantryError(
      "invalid",
      `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  }
  checkHealth(config.Healthcheck);
  if (config.StopSignal) parseSignal(config.StopSignal);
  for (const variable of config.Env ?? []) {
    if (variable === "" || variable.startsWith("=")) {
      throw new GantryError("invalid", `invalid environment variable: ${variable}`);
    }
  }
  publishRequests({}, host);
}

function checkJoinedNetwork(config: ContainerConfig, host: HostConfig): void {
  if (config.Hostname) throw conflict("hostname and the network mode");
  if (host.Dns?.length) throw conflict("dns and the network mode");
  if (host.ExtraHosts?.length) {
    throw conflict("custom host-to-IP mapping and the network mode");
  }
  if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts) {
    throw conflict("port publishing and the container type network mode");
  }
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) {
    throw conflict("port exposing and the container type network mode");
  }
}

function checkHealth(health: HealthConfig | null | undefined): void {
  if (!health) return;
  for (const name of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const duration = health[name] ?? 0;
    if (duration !== 0 && duration < HEALTH_NANOSECONDS_MIN) {
      throw new GantryError("invalid", `${name} in Healthcheck cannot be less than 1ms`);
    }
  }
  if ((health.Retries ?? 0) < 0) {
    throw new GantryError("invalid", "Retries in Healthcheck cannot be negative");
  }
}
