// HostConfig as dockerd shows it: every field of the Go struct that has no "omitempty" is there,
// with Go's zero value when unset, in Go's order.

import type { DeviceRequest, HostConfig } from "../../spec/index.ts";

const ZERO: HostConfig = {
  Binds: null,
  ContainerIDFile: "",
  LogConfig: { Type: "json-file", Config: {} },
  NetworkMode: "bridge",
  PortBindings: null,
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: "",
  Dns: null,
  DnsOptions: null,
  DnsSearch: null,
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: "",
  Cgroup: "",
  Links: null,
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 0,
  Runtime: "runc",
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: null,
  BlkioDeviceReadBps: null,
  BlkioDeviceWriteBps: null,
  BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: null,
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  PidsLimit: null,
  Ulimits: null,
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
};
const NO_DEVICES: DeviceRequest = {
  Driver: "",
  Count: 0,
  DeviceIDs: null,
  Capabilities: null,
  Options: null,
};
/** Left out when unset, as their Go tags say. */
const OMITTED_WHEN_EMPTY = [
  "Annotations",
  "StorageOpt",
  "Tmpfs",
  "Sysctls",
  "KernelMemory",
  "KernelMemoryTCP",
  "Mounts",
  "Init",
  "OnUnhealthy",
] as const satisfies (keyof HostConfig)[];

export function renderHostConfig(config: HostConfig): HostConfig {
  const given = Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined),
  );
  const shown: HostConfig = { ...ZERO, ...given };
  shown.DeviceRequests &&= shown.DeviceRequests.map((request) => ({ ...NO_DEVICES, ...request }));
  for (const field of OMITTED_WHEN_EMPTY) {
    const value: unknown = shown[field];
    const isEmpty =
      value === null ||
      value === undefined ||
      value === 0 ||
      value === "" ||
      (typeof value === "object" && Object.keys(value).length === 0);
    if (isEmpty) delete shown[field];
  }
  return shown;
}
