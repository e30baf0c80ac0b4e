// `version`: what this program and the kernel beneath it are.

import { arch } from "node:os";
import type { EngineContext } from "../context.ts";
import { hostPlatform } from "../images/find.ts";

/** The newest Docker Engine API that the doors speak. */
export const API_VERSION = "1.51";
export const API_VERSION_MIN = "1.24";

export async function systemVersion(engine: EngineContext): Promise<Record<string, unknown>> {
  const { version, buildId } = engine.options;
  const platform = hostPlatform();
  const details = {
    ApiVersion: API_VERSION,
    Arch: platform.architecture,
    BuildTime: "",
    Experimental: "false",
    GitCommit: buildId,
    GoVersion: `node ${process.version}`,
    KernelVersion: engine.runtime.kernel.release,
    MinAPIVersion: API_VERSION_MIN,
    Os: platform.os,
  };
  return {
    Platform: { Name: `Gantry ${version} (${arch()})` },
    Version: version,
    ApiVersion: API_VERSION,
    MinAPIVersion: API_VERSION_MIN,
    Os: platform.os,
    Arch: platform.architecture,
    KernelVersion: engine.runtime.kernel.release,
    GitCommit: buildId,
    GoVersion: `node ${process.version}`,
    BuildTime: "",
    Components: [{ Name: "Engine", Version: version, Details: details }],
  };
}
