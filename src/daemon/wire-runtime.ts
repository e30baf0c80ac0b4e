// The runtime layer as the engine wants it: its pure planners, bound to the kernel that was probed
// once.

import type { Logger } from "../base/index.ts";
import type { EngineOptions, RuntimePlans } from "../engine/index.ts";
import type { Native } from "../native/index.ts";
import {
  parseCpuList,
  planCgroupRemove,
  planExec,
  planFreeze,
  probeKernel,
  readProcStat,
  StatsReader,
  sampleNow,
} from "../runtime/index.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";
import { openCgroupfs } from "./cgroupfs-driver.ts";
import { openSystemd } from "./systemd-driver.ts";

export async function wireRuntime(
  native: Native,
  log: Logger,
  options: Pick<EngineOptions, "cgroupDriver" | "cgroupParent" | "cgroupParentIsOwn">,
): Promise<{ runtime: RuntimePlans; cgroups: CgroupDriver }> {
  const kernel = await probeKernel(native);
  for (const warning of kernel.warnings) log.debug(warning);
  const host = {
    memoryTotalBytes: kernel.memoryTotalBytes ?? 0,
    onlineCpus: parseCpuList(kernel.cpus ?? "0").length,
  };
  const cgroups =
    options.cgroupDriver === "systemd"
      ? await openSystemd(native, kernel)
      : await openCgroupfs(native, kernel, options, log);
  const runtime: RuntimePlans = {
    kernel,
    cgroups,
    planCreate: (input) => cgroups.planCreate(input),
    planRestore: (input) => cgroups.planRestore(input),
    planExec,
    planFreeze,
    planUpdate: (paths, wanted, previous) => cgroups.planUpdate(paths, wanted, previous),
    planCgroupRemove,
    findCgroups: (parent) => cgroups.find(parent),
    openStats: (paths, pid) => {
      const reader = new StatsReader(paths, pid, host);
      return {
        read: async (hostSample) => ({ ...(await reader.read(hostSample)) }),
        close: () => reader.close(),
      };
    },
    readHostSample: readProcStat,
    sampleNow: (paths, pid) => sampleNow(paths, pid, host),
  };
  return { runtime, cgroups };
}
