// Docker's Resources to those of the OCI spec. Also what `update` changes live.

import { GantryError } from "../../base/index.ts";
import { cgroupSupport, type KernelFeatures } from "../../runtime/index.ts";
import type { HostConfig, OciDeviceRule, OciResources, OciThrottle } from "../../spec/index.ts";
import { blockDevice } from "./host-devices.ts";

const CPU_PERIOD_US = 100_000;
const NANO = 1e9;

/** All but devices. */
export function resourcesOf(host: Partial<HostConfig>, kernel?: KernelFeatures): OciResources {
  const resources: OciResources = {};
  const memory = memoryOf(host, kernel);
  const cpu = cpuOf(host);
  const blockIO = blockIoOf(host);
  if (memory) resources.memory = memory;
  if (cpu) resources.cpu = cpu;
  if (blockIO) resources.blockIO = blockIO;
  if (host.PidsLimit != null) {
    resources.pids = { limit: host.PidsLimit > 0 ? host.PidsLimit : -1 };
  }
  return resources;
}

function memoryOf(host: Partial<HostConfig>, kernel?: KernelFeatures): OciResources["memory"] {
  const memory: NonNullable<OciResources["memory"]> = {};
  if (host.Memory) memory.limit = host.Memory;
  if (host.MemoryReservation) memory.reservation = host.MemoryReservation;
  // Without swap accounting there is no file for "unlimited" either.
  const counted = kernel === undefined || cgroupSupport(kernel)("memory.memsw.limit_in_bytes");
  if (host.MemorySwap && counted) memory.swap = host.MemorySwap;
  if (host.MemorySwappiness != null && host.MemorySwappiness >= 0) {
    memory.swappiness = host.MemorySwappiness;
  }
  if (host.OomKillDisable) memory.disableOOMKiller = true;
  if (host.KernelMemoryTCP) memory.kernelTCP = host.KernelMemoryTCP;
  return Object.keys(memory).length > 0 ? memory : undefined;
}

function cpuOf(host: Partial<HostConfig>): OciResources["cpu"] {
  const cpu: NonNullable<OciResources["cpu"]> = {};
  if (host.CpuShares) cpu.shares = host.CpuShares;
  if (host.CpusetCpus) cpu.cpus = host.CpusetCpus;
  if (host.CpusetMems) cpu.mems = host.CpusetMems;
  if (host.NanoCpus) {
    cpu.period = CPU_PERIOD_US;
    cpu.quota = Math.floor((host.NanoCpus * CPU_PERIOD_US) / NANO);
  }
  if (host.CpuPeriod) cpu.period = host.CpuPeriod;
  if (host.CpuQuota) cpu.quota = host.CpuQuota;
  if (host.CpuRealtimePeriod) cpu.realtimePeriod = host.CpuRealtimePeriod;
  if (host.CpuRealtimeRuntime) cpu.realtimeRuntime = host.CpuRealtimeRuntime;
  return Object.keys(cpu).length > 0 ? cpu : undefined;
}

type BlockIo = NonNullable<OciResources["blockIO"]>;

function blockIoOf(host: Partial<HostConfig>): BlockIo | undefined {
  const io: BlockIo = {};
  if (host.BlkioWeight) io.weight = host.BlkioWeight;
  if (host.BlkioWeightDevice?.length) {
    io.weightDevice = host.BlkioWeightDevice.map(({ Path, Weight }) => ({
      ...blockDevice(Path),
      weight: Weight,
    }));
  }
  const throttle = (list: HostConfig["BlkioDeviceReadBps"]): OciThrottle[] =>
    (list ?? []).map(({ Path, Rate }) => ({ ...blockDevice(Path), rate: Rate }));
  const all: [keyof BlockIo & `throttle${string}`, OciThrottle[]][] = [
    ["throttleReadBpsDevice", throttle(host.BlkioDeviceReadBps)],
    ["throttleWriteBpsDevice", throttle(host.BlkioDeviceWriteBps)],
    ["throttleReadIOPSDevice", throttle(host.BlkioDeviceReadIOps)],
    ["throttleWriteIOPSDevice", throttle(host.BlkioDeviceWriteIOps)],
  ];
  for (const [key, list] of all) if (list.length > 0) io[key] = list;
  return Object.keys(io).length > 0 ? io : undefined;
}

const RULE = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/;

/** "c 42:* rmw" of --device-cgroup-rule. */
export function parseDeviceRule(text: string): OciDeviceRule {
  const match = RULE.exec(text);
  if (!match) {
    throw new GantryError("invalid", `invalid device cgroup rule format: '${text}'`);
  }
  const [, type, major, minor, access] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    allow: true,
    type,
    ...(major !== "*" && { major: Number(major) }),
    ...(minor !== "*" && { minor: Number(minor) }),
    access,
  };
}
