// The checks that dockerd makes of limits and modes before it makes a container, in its words. What
// the kernel cannot do is taken out of the host config with a warning; what can never work throws.

import { GantryError } from "../../base/index.ts";
import { cgroupSupport, type KernelFeatures, parseCpuList } from "../../runtime/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { capabilitiesFor } from "./oci-capabilities.ts";
import { parseDeviceRule } from "./oci-resources.ts";
import { parseSecurityOptions } from "./security-options.ts";
import { checkTmpfs } from "./tmpfs-options.ts";

const MEMORY_BYTES_MIN = 6 * 1024 * 1024;
const NANO = 1e9;
const NOT_MOUNTED = "or the cgroup is not mounted";

type Check = {
  host: HostConfig;
  kernel: KernelFeatures;
  has: (file: string) => boolean;
  /** Takes fields out of the host config, and says so. */
  discard(warning: string, ...fields: (keyof HostConfig)[]): void;
  warn(warning: string): void;
};

const bad = (message: string): GantryError => new GantryError("invalid", message);

/** Changes `host` where something is discarded. Returns docker's warnings; throws invalid. */
export function validateHostConfig(
  host: HostConfig,
  kernel: KernelFeatures,
  { update = false } = {},
): string[] {
  const warnings: string[] = [];
  const check: Check = {
    host,
    kernel,
    has: cgroupSupport(kernel),
    warn: (warning) => warnings.push(warning),
    discard: (warning, ...fields) => {
      warnings.push(warning);
      for (const field of fields) delete host[field];
    },
  };
  checkMemory(check, update);
  checkSwappiness(check);
  checkOomKiller(check);
  checkPids(check);
  checkCpu(check);
  checkRealtime(check);
  checkCpusets(check);
  checkBlockIo(check);
  if (!update) {
    checkSettings(check);
    checkPlatformOptions(check);
  }
  return warnings;
}

function checkMemory({ host, has, discard }: Check, update: boolean): void {
  const { Memory: memory = 0, MemorySwap: swap = 0 } = host;
  if (memory !== 0 && memory < MEMORY_BYTES_MIN) throw bad("Minimum memory limit allowed is 6MB");
  if (memory > 0 && !has("memory.limit_in_bytes")) {
    const what = "Your kernel does not support memory limit capabilities";
    discard(`${what} ${NOT_MOUNTED}. Limitation discarded.`, "Memory", "MemorySwap");
    return;
  }
  if (memory > 0 && swap !== -1 && !has("memory.memsw.limit_in_bytes")) {
    const what = "Your kernel does not support swap limit capabilities";
    discard(`${what} ${NOT_MOUNTED}. Memory limited without swap.`);
    host.MemorySwap = -1;
  } else if (memory > 0 && swap > 0 && swap < memory) {
    throw bad("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (memory === 0 && swap > 0 && !update) {
    throw bad("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  const { MemoryReservation: reservation = 0 } = host;
  if (reservation > 0 && !has("memory.soft_limit_in_bytes")) {
    const what = "Your kernel does not support memory soft limit capabilities";
    discard(`${what} ${NOT_MOUNTED}. Limitation discarded.`, "MemoryReservation");
  } else if (reservation > 0 && reservation < MEMORY_BYTES_MIN) {
    throw bad("Minimum memory reservation allowed is 6MB");
  } else if (memory > 0 && reservation > 0 && memory < reservation) {
    throw bad("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
}

function checkSwappiness({ host, kernel, has, discard }: Check): void {
  const value = host.MemorySwappiness;
  if (value === undefined || value === null || value === -1) return;
  if (value < 0 || value > 100) {
    throw bad(`Invalid value: ${value}, valid memory swappiness range is 0-100`);
  }
  if (kernel.cgroup.version !== 2 && has("memory.swappiness")) return;
  const what = "Your kernel does not support memory swappiness capabilities";
  discard(`${what} ${NOT_MOUNTED}. Memory swappiness discarded.`, "MemorySwappiness");
}

function checkOomKiller({ host, kernel, has, discard, warn }: Check): void {
  if (!host.OomKillDisable) return;
  if (kernel.cgroup.version === 2 || !has("memory.oom_control")) {
    const what = "Your kernel does not support OomKillDisable";
    discard(`${what}. OomKillDisable discarded.`, "OomKillDisable");
  } else if (!host.Memory) {
    warn(
      "OOM killer is disabled for the container, but no memory limit is set, " +
        "this can result in the system running out of resources.",
    );
  }
}

function checkPids({ host, kernel, discard }: Check): void {
  if (!host.PidsLimit || host.PidsLimit < 0) return;
  const { v1, v2 } = kernel.cgroup;
  if (v1.has("pids") || v2?.controllers.includes("pids")) return;
  const what = "Your kernel does not support PIDs limit capabilities";
  discard(`${what} ${NOT_MOUNTED}. PIDs limit discarded.`, "PidsLimit");
}

function checkCpu({ host, kernel, has, discard }: Check): void {
  const { NanoCpus: nano = 0, CpuPeriod: period = 0, CpuQuota: quota = 0 } = host;
  const cfs = has("cpu.cfs_quota_us") && has("cpu.cfs_period_us");
  if (nano > 0 && period > 0) {
    throw bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  }
  if (nano > 0 && quota > 0) {
    throw bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  }
  if (nano > 0 && !cfs) {
    throw bad(
      "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler " +
        "or the cgroup is not mounted",
    );
  }
  const cpus = parseCpuList(kernel.cpus ?? "0").length;
  if (nano < 0 || nano > cpus * NANO) {
    throw bad(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  }
  if ((host.CpuShares ?? 0) < 0) {
    throw bad(`invalid CPU shares (${host.CpuShares}): value must be a positive integer`);
  }
  if (host.CpuShares && !has("cpu.shares")) {
    const what = "Your kernel does not support CPU shares";
    discard(`${what} ${NOT_MOUNTED}. Shares discarded.`, "CpuShares");
  }
  if ((period > 0 || quota > 0) && !cfs) {
    const what = "Your kernel does not support CPU CFS scheduler";
    discard(`${what}. CPU period/quota discarded.`, "CpuPeriod", "CpuQuota");
    return;
  }
  if (period !== 0 && (period < 1000 || period > 1_000_000)) {
    throw bad(
      "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    );
  }
  if (quota > 0 && quota < 1000) throw bad("CPU cfs quota can not be less than 1ms (i.e. 1000)");
}

function checkRealtime({ host, has }: Check): void {
  const { CpuRealtimePeriod: period = 0, CpuRealtimeRuntime: runtime = 0 } = host;
  if ((period !== 0 || runtime !== 0) && !has("cpu.rt_runtime_us")) {
    throw bad("kernel does not support CPU real-time scheduler");
  }
  if (period > 0 && runtime > period) {
    throw bad("cpu real-time runtime cannot be higher than cpu real-time period");
  }
}

function checkCpusets({ host, kernel, has, discard }: Check): void {
  if ((host.CpusetCpus || host.CpusetMems) && !has("cpuset.cpus")) {
    const what = "Your kernel does not support cpuset";
    discard(`${what} ${NOT_MOUNTED}. CPUset discarded.`, "CpusetCpus", "CpusetMems");
    return;
  }
  const subset = (wanted: string | undefined, available: string, kind: string, names: string) => {
    if (!wanted) return;
    let list: number[];
    try {
      list = parseCpuList(wanted);
    } catch (cause) {
      throw new GantryError(
        "invalid",
        `Invalid value ${wanted} for cpuset ${kind}: invalid format: ${wanted}`,
        {
          cause,
        },
      );
    }
    const there = new Set(parseCpuList(available));
    if (list.every((number) => there.has(number))) return;
    throw bad(
      `Requested ${names} are not available - requested ${wanted}, available: ${available}`,
    );
  };
  subset(host.CpusetCpus, kernel.cpus ?? "0", "cpus", "CPUs");
  subset(host.CpusetMems, kernel.mems ?? "0", "mems", "memory nodes");
}

function checkBlockIo({ host, has, discard }: Check): void {
  const { BlkioWeight: weight = 0 } = host;
  if (weight > 0 && !has("blkio.weight")) {
    const what = "Your kernel does not support Block I/O weight";
    discard(`${what} ${NOT_MOUNTED}. Weight discarded.`, "BlkioWeight");
  } else if (weight > 0 && (weight < 10 || weight > 1000)) {
    throw bad("Range of blkio weight is from 10 to 1000");
  }
  if (host.IOMaximumBandwidth || host.IOMaximumIOps) {
    const what = host.IOMaximumBandwidth ? "Maximum IO Bandwidth" : "Maximum IO IOps";
    throw bad(`Invalid QoS settings: linux does not support ${what}`);
  }
  if (host.BlkioWeightDevice?.length && !has("blkio.weight_device")) {
    const what = "Your kernel does not support Block I/O weight_device";
    discard(`${what} ${NOT_MOUNTED}. Weight-device discarded.`, "BlkioWeightDevice");
  }
  const limits: [keyof HostConfig, string, string, string][] = [
    ["BlkioDeviceReadBps", "read_bps", "BPS Block I/O read limit", "BPS read"],
    ["BlkioDeviceWriteBps", "write_bps", "BPS Block I/O write limit", "BPS write"],
    ["BlkioDeviceReadIOps", "read_iops", "IOPS Block read limit", "IOPS read"],
    ["BlkioDeviceWriteIOps", "write_iops", "IOPS Block write limit", "IOPS write"],
  ];
  for (const [field, file, what, short] of limits) {
    if (!(host[field] as unknown[] | null | undefined)?.length) continue;
    if (has(`blkio.throttle.${file}_device`)) continue;
    const text = `Your kernel does not support ${what} ${NOT_MOUNTED}`;
    discard(`${text}. Block I/O ${short} limit discarded.`, field);
  }
}

const MODES: readonly [keyof HostConfig, RegExp, string][] = [
  ["PidMode", /^(|host|container:.+)$/, "PID mode"],
  ["IpcMode", /^(|none|private|shareable|host|container:.+)$/, "IPC mode"],
  ["UTSMode", /^(|host)$/, "UTS mode"],
  ["CgroupnsMode", /^(|private|host)$/, "cgroup namespace mode"],
];

function checkSettings({ host, kernel }: Check): void {
  if ((host.ShmSize ?? 0) < 0) throw bad("SHM size can not be less than 0");
  const score = host.OomScoreAdj ?? 0;
  if (score < -1000 || score > 1000) {
    throw bad(`Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
  }
  for (const [field, pattern, name] of MODES) {
    const mode = (host[field] as string | undefined) ?? "";
    if (!pattern.test(mode)) throw bad(`invalid ${name}: ${mode}`);
  }
  for (const { Name, Soft, Hard } of host.Ulimits ?? []) {
    if (Hard !== -1 && (Soft === -1 || Soft > Hard)) {
      throw bad(
        `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard} (${Name})`,
      );
    }
  }
  // Parsed again when the container starts; here, so that a mistake is told at once.
  parseSecurityOptions(host.SecurityOpt ?? []);
  capabilitiesFor({ ...host, Privileged: false }, kernel.heldCapabilities);
  for (const rule of host.DeviceCgroupRules ?? []) parseDeviceRule(rule);
}

/** What cannot be given is refused: no container starts without what was asked for it. */
function checkPlatformOptions({ host, warn }: Check): void {
  const isolation = host.Isolation ?? "";
  if (isolation !== "" && isolation !== "default") {
    throw bad(`invalid isolation (${isolation}): linux only supports 'default'`);
  }
  for (const [path, options] of Object.entries(host.Tmpfs ?? {})) checkTmpfs(path, options);
  if (host.NetworkMode === "host" && Object.keys(host.PortBindings ?? {}).length > 0) {
    warn("Published ports are discarded when using host network mode");
  }
}
