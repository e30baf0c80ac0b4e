// Schemas of the container bodies (Docker Engine API: ContainerConfig, HostConfig, Resources,
// NetworkingConfig, exec and update). The types of src/spec/container.ts demand that no field is
// forgotten here.

import type {
  ContainerConfig,
  EndpointIpamConfig,
  EndpointSettings,
  ExecConfig,
  HealthConfig,
  HostConfig,
  MountRequest,
  NetworkingConfig,
  Resources,
} from "../spec/index.ts";
import {
  any,
  emptyObject,
  flag,
  int,
  int64,
  list,
  map,
  object,
  type Schema,
  text,
  textOrList,
  uint,
  uint16,
  uint32,
  uint64,
} from "./schema.ts";

const health = object<HealthConfig>("container.HealthConfig", {
  Test: list(text),
  Interval: int64,
  Timeout: int64,
  Retries: int,
  StartPeriod: int64,
  StartInterval: int64,
});

const configFields = {
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: map(emptyObject),
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: list(text),
  Cmd: textOrList,
  Healthcheck: health,
  ArgsEscaped: flag,
  Image: text,
  Volumes: map(emptyObject),
  WorkingDir: text,
  Entrypoint: textOrList,
  NetworkDisabled: flag,
  MacAddress: text,
  OnBuild: list(text),
  Labels: map(text),
  StopSignal: text,
  StopTimeout: int,
  Shell: textOrList,
};
export const containerConfigSchema = object<ContainerConfig>("container.Config", configFields);

const throttleDevices = list(object("blkiodev.ThrottleDevice", { Path: text, Rate: uint64 }));

const resourceFields: { [K in keyof Required<Resources>]: Schema<unknown> } = {
  CpuShares: int64,
  Memory: int64,
  NanoCpus: int64,
  CgroupParent: text,
  BlkioWeight: uint16,
  BlkioWeightDevice: list(object("blkiodev.WeightDevice", { Path: text, Weight: uint16 })),
  BlkioDeviceReadBps: throttleDevices,
  BlkioDeviceWriteBps: throttleDevices,
  BlkioDeviceReadIOps: throttleDevices,
  BlkioDeviceWriteIOps: throttleDevices,
  CpuPeriod: int64,
  CpuQuota: int64,
  CpuRealtimePeriod: int64,
  CpuRealtimeRuntime: int64,
  CpusetCpus: text,
  CpusetMems: text,
  Devices: list(
    object("container.DeviceMapping", {
      PathOnHost: text,
      PathInContainer: text,
      CgroupPermissions: text,
    }),
  ),
  DeviceCgroupRules: list(text),
  DeviceRequests: list(
    object("container.DeviceRequest", {
      Driver: text,
      Count: int,
      DeviceIDs: list(text),
      Capabilities: list(list(text)),
      Options: map(text),
    }),
  ),
  KernelMemory: int64,
  KernelMemoryTCP: int64,
  MemoryReservation: int64,
  MemorySwap: int64,
  MemorySwappiness: int64,
  OomKillDisable: flag,
  Init: flag,
  PidsLimit: int64,
  Ulimits: list(object("units.Ulimit", { Name: text, Soft: int64, Hard: int64 })),
  CpuCount: int64,
  CpuPercent: int64,
  IOMaximumIOps: uint64,
  IOMaximumBandwidth: uint64,
};

const mount = object<MountRequest>("mount.Mount", {
  Type: text,
  Source: text,
  Target: text,
  ReadOnly: flag,
  Consistency: text,
  BindOptions: object("mount.BindOptions", {
    Propagation: text,
    NonRecursive: flag,
    CreateMountpoint: flag,
    ReadOnlyNonRecursive: flag,
    ReadOnlyForceRecursive: flag,
    IdMap: text,
  }),
  VolumeOptions: object("mount.VolumeOptions", {
    IdMap: text,
    NoCopy: flag,
    Labels: map(text),
    DriverConfig: object("mount.Driver", { Name: text, Options: map(text) }),
    Subpath: text,
  }),
  ImageOptions: object("mount.ImageOptions", { Subpath: text, Writable: flag }),
  TmpfsOptions: object("mount.TmpfsOptions", {
    SizeBytes: int64,
    Mode: uint32,
    Options: list(list(text)),
  }),
});

const restartPolicy = object("container.RestartPolicy", { Name: text, MaximumRetryCount: int });

const portMap = map(list(object("network.PortBinding", { HostIp: text, HostPort: text })));

const hostConfigSchema = object<HostConfig>("container.HostConfig", {
  ...resourceFields,
  Binds: list(text),
  ContainerIDFile: text,
  LogConfig: object("container.LogConfig", { Type: text, Config: map(text) }),
  NetworkMode: text,
  PortBindings: portMap,
  RestartPolicy: restartPolicy,
  AutoRemove: flag,
  VolumeDriver: text,
  VolumesFrom: list(text),
  Mounts: list(mount),
  ConsoleSize: list(uint, 2),
  Annotations: map(text),
  CapAdd: textOrList,
  CapDrop: textOrList,
  CgroupnsMode: text,
  Dns: list(text),
  DnsOptions: list(text),
  DnsSearch: list(text),
  ExtraHosts: list(text),
  GroupAdd: list(text),
  IpcMode: text,
  Cgroup: text,
  Links: list(text),
  OomScoreAdj: int,
  PidMode: text,
  Privileged: flag,
  PublishAllPorts: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: list(text),
  StorageOpt: map(text),
  Tmpfs: map(text),
  UTSMode: text,
  UsernsMode: text,
  ShmSize: int64,
  Sysctls: map(text),
  Runtime: text,
  Isolation: text,
  MaskedPaths: list(text),
  ReadonlyPaths: list(text),
  OnUnhealthy: text,
});

const ipam = object<EndpointIpamConfig>("network.EndpointIPAMConfig", {
  IPv4Address: text,
  IPv6Address: text,
  LinkLocalIPs: list(text),
});
export const endpointSettingsSchema = object<EndpointSettings>("network.EndpointSettings", {
  IPAMConfig: ipam,
  Links: list(text),
  Aliases: list(text),
  MacAddress: text,
  DriverOpts: map(text),
  GwPriority: int,
  NetworkID: text,
  EndpointID: text,
  Gateway: text,
  IPAddress: text,
  IPPrefixLen: int,
  IPv6Gateway: text,
  GlobalIPv6Address: text,
  GlobalIPv6PrefixLen: int,
  DNSNames: list(text),
});
const networkingConfig = object<NetworkingConfig>("network.NetworkingConfig", {
  EndpointsConfig: map(endpointSettingsSchema),
});

export interface CreateBody extends ContainerConfig {
  HostConfig?: HostConfig;
  NetworkingConfig?: NetworkingConfig;
}
export const createBodySchema = object<CreateBody>("container.CreateRequest", {
  ...configFields,
  HostConfig: hostConfigSchema,
  NetworkingConfig: networkingConfig,
});

export type UpdateBody = Resources & {
  RestartPolicy?: HostConfig["RestartPolicy"];
  /** Gantry's own: ports to publish and to publish no more, also while it runs. */
  PublishAdd?: NonNullable<HostConfig["PortBindings"]>;
  PublishRemove?: NonNullable<HostConfig["PortBindings"]>;
  /** Gantry's own: the size limit of the root file system. */
  StorageOpt?: HostConfig["StorageOpt"];
  /** Gantry's own: what is done with a container that became unhealthy. */
  OnUnhealthy?: string;
};
export const updateBodySchema = object<UpdateBody>("container.UpdateConfig", {
  ...resourceFields,
  RestartPolicy: restartPolicy,
  PublishAdd: portMap,
  PublishRemove: portMap,
  StorageOpt: map(text),
  OnUnhealthy: text,
});

export type ExecCreateBody = Partial<ExecConfig>;
export const execCreateBodySchema = object<ExecCreateBody>("container.ExecCreateRequest", {
  User: text,
  Privileged: flag,
  Tty: flag,
  ConsoleSize: list(uint, 2),
  AttachStdin: flag,
  AttachStderr: flag,
  AttachStdout: flag,
  DetachKeys: text,
  Env: list(text),
  WorkingDir: text,
  Cmd: list(text),
});

export interface ExecStartBody {
  Detach?: boolean;
  Tty?: boolean;
  ConsoleSize?: [number, number];
}
export const execStartBodySchema = object<ExecStartBody>("container.ExecStartRequest", {
  Detach: flag,
  Tty: flag,
  ConsoleSize: list(uint, 2),
});

export interface VolumeCreateBody {
  Name?: string;
  Driver?: string;
  DriverOpts?: Record<string, string>;
  Labels?: Record<string, string>;
  ClusterVolumeSpec?: unknown;
}
/** `Spec` is of cluster volumes; DriverOpts is Gantry's own. */
export type VolumeUpdateBody = { Spec?: unknown; DriverOpts?: Record<string, string> };
export const volumeUpdateBodySchema = object<VolumeUpdateBody>("volume.UpdateRequest", {
  Spec: any,
  DriverOpts: map(text),
});

export const volumeCreateBodySchema = object<VolumeCreateBody>("volume.CreateRequest", {
  Name: text,
  Driver: text,
  DriverOpts: map(text),
  Labels: map(text),
  ClusterVolumeSpec: any,
});

export interface AuthBody {
  username?: string;
  password?: string;
  auth?: string;
  serveraddress?: string;
  identitytoken?: string;
  registrytoken?: string;
}
export const authBodySchema = object<AuthBody>("registry.AuthConfig", {
  username: text,
  password: text,
  auth: text,
  serveraddress: text,
  identitytoken: text,
  registrytoken: text,
});
