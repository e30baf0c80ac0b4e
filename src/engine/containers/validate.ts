// The engine's way into the checks of limits and modes (validate-host-config.ts).

import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { validateHostConfig } from "./validate-host-config.ts";

/** Returns docker's warnings; what the kernel lacks is taken out of `host`. Throws invalid. */
export function validateResources(
  engine: EngineContext,
  _config: ContainerConfig,
  host: HostConfig,
  options: { update?: boolean } = {},
): string[] {
  return validateHostConfig(host, engine.runtime.kernel, options);
}
