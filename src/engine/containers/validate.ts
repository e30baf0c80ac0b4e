// The engine's way into the checks of what a container is to be: limits and modes
// (validate-host-config.ts), its health check, and text that the kernel cannot take.

import { GantryError } from "../../base/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { unhealthyReaction } from "./health-rules.ts";
import { healthTarget } from "./health-target.ts";
import { validateHostConfig } from "./validate-host-config.ts";

/** Returns docker's warnings; what the kernel lacks is taken out of `host`. Throws invalid. */
export function validateResources(
  engine: EngineContext,
  config: ContainerConfig,
  host: HostConfig,
  options: { update?: boolean } = {},
): string[] {
  checkText(config);
  healthTarget(config.Healthcheck, config.Shell);
  const reaction = unhealthyReaction(config, host);
  // Shown by inspect, also where a label asked for it.
  if (reaction !== "none" || host.OnUnhealthy) host.OnUnhealthy = reaction;
  const { kernel, cgroups } = engine.runtime;
  if (host.CgroupParent) cgroups.pathFor("x", host.CgroupParent);
  return validateHostConfig(host, kernel, options);
}

const NUL = "\0";

/** Words end at a NUL for the kernel: what follows would be lost in silence. */
function checkText(config: ContainerConfig): void {
  const lists = { Cmd: config.Cmd, Entrypoint: config.Entrypoint, Env: config.Env };
  for (const [field, words] of Object.entries(lists)) {
    if (words?.some((word) => word.includes(NUL))) throw nulIn(field);
  }
  for (const field of ["User", "WorkingDir", "Hostname", "Domainname"] as const) {
    if (config[field]?.includes(NUL)) throw nulIn(field);
  }
}

const nulIn = (field: string): GantryError =>
  new GantryError("invalid", `invalid ${field}: it contains a NUL byte`);
