// `version`: what this program and the kernel beneath it are. Which API is spoken is the door's to
// say.

import { arch } from "node:os";
import type { EngineContext } from "../context.ts";
import { hostPlatform } from "../images/find.ts";

export async function systemVersion(engine: EngineContext): Promise<Record<string, unknown>> {
  const { version, buildId, buildTime = "", experimental = false } = engine.options;
  const platform = hostPlatform();
  const details = {
    Arch: platform.architecture,
    BuildTime: buildTime,
    Experimental: String(experimental),
    GitCommit: buildId,
    GoVersion: `node ${process.version}`,
    KernelVersion: engine.runtime.kernel.release,
    Os: platform.os,
  };
  return {
    Platform: { Name: `Gantry ${version} (${arch()})` },
    Version: version,
    Os: platform.os,
    Arch: platform.architecture,
    KernelVersion: engine.runtime.kernel.release,
    GitCommit: buildId,
    GoVersion: `node ${process.version}`,
    BuildTime: buildTime,
    ...(experimental && { Experimental: true }),
    Components: [{ Name: "Engine", Version: version, Details: details }],
  };
}
