// What `info` says is missing, in dockerd's words where it has them.

import type { KernelFeatures } from "./contract.ts";

const CAP_SYS_RESOURCE = 1n << 24n;

/** Which limits this host can give. True also where v2 implies the file. */
export function cgroupSupport(kernel: KernelFeatures): (file: string) => boolean {
  const { cgroup, cgroupFiles = new Set<string>() } = kernel;
  return (file) => {
    if (cgroup.version !== 2) return cgroupFiles.has(file);
    const controllers = cgroup.v2?.controllers ?? [];
    if (file.startsWith("memory.")) return controllers.includes("memory");
    if (file.startsWith("cpuset.")) return controllers.includes("cpuset");
    if (file.startsWith("cpu.")) return controllers.includes("cpu");
    if (file.startsWith("pids.")) return controllers.includes("pids");
    if (file.startsWith("blkio.")) return controllers.includes("io");
    return false;
  };
}

export function kernelWarnings(kernel: KernelFeatures): string[] {
  const { cgroup, seccompActions, heldCapabilities } = kernel;
  const has = cgroupSupport(kernel);
  const isV1 = cgroup.version !== 2;
  const checks: [missing: boolean, warning: string][] = [
    [!has("memory.limit_in_bytes"), "WARNING: No memory limit support"],
    [!has("memory.memsw.limit_in_bytes"), "WARNING: No swap limit support"],
    [isV1 && !has("memory.oom_control"), "WARNING: No oom kill disable support"],
    [!has("cpu.shares"), "WARNING: No cpu shares support"],
    [!has("cpu.cfs_quota_us"), "WARNING: No cpu cfs quota support"],
    [!has("cpu.cfs_period_us"), "WARNING: No cpu cfs period support"],
    [!has("cpuset.cpus"), "WARNING: No cpuset support"],
    [!has("pids.max") && isV1 && !cgroup.v1.has("pids"), "WARNING: No pids limit support"],
    [isV1 && !has("blkio.weight"), "WARNING: No blkio weight support"],
    [isV1 && !has("blkio.weight_device"), "WARNING: No blkio weight_device support"],
    ...["read_bps", "write_bps", "read_iops", "write_iops"].map((name): [boolean, string] => [
      !has(`blkio.throttle.${name}_device`),
      `WARNING: No blkio throttle.${name}_device support`,
    ]),
    [seccompActions.length === 0, "WARNING: No seccomp support"],
    [
      (heldCapabilities & CAP_SYS_RESOURCE) === 0n,
      "WARNING: CAP_SYS_RESOURCE is not held: hard resource limits can only be lowered",
    ],
  ];
  return checks.filter(([missing]) => missing).map(([, warning]) => warning);
}
