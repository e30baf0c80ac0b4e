// From the flags of `run` and `create` to the body of POST /containers/create: pure, but for the
// files that flags name. The refusals are worded as docker's.

import type { ParsedFlags } from "../../base/index.ts";
import type {
  ContainerConfig,
  HealthConfig,
  HostConfig,
  NetworkingConfig,
} from "../../spec/index.ts";
import { type Environment, pairsToRecord, readEnvironment, readLabels } from "./environment.ts";
import type { CREATE_FLAGS } from "./flags.ts";
import { device, invalid, isCdiDevice } from "./list-flags.ts";
import { parseTmpfs, parseVolumes, resolveMounts } from "./mounts.ts";
import { attachNetworks, checkMac } from "./networks.ts";
import {
  effectiveCapabilities,
  parseDevice,
  parseRestartPolicy,
  parseSecurityOptions,
} from "./policies.ts";
import { parseExposed, parsePublished } from "./ports.ts";

type CreateFlags = ParsedFlags<typeof CREATE_FLAGS>;
type Values = CreateFlags["values"];

export interface CallerContext {
  env: Environment;
  cwd: string;
  /** Turns a path of the caller into an absolute one. */
  path(file: string): string;
}
export interface ContainerRequest {
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig: NetworkingConfig;
}

/** Throws "invalid" with docker's wording. */
export function containerRequest(flags: CreateFlags, caller: CallerContext): ContainerRequest {
  const { values, changed, args } = flags;
  const [image = "", ...command] = args;
  checkModes(values);
  const mac = values["mac-address"].trim();
  if (mac !== "") checkMac(mac);
  const swappiness = values["memory-swappiness"];
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw invalid(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  }
  const volumes = parseVolumes(values.volume, caller.cwd);
  const ports = parsePublished(values.publish);
  parseExposed(values.expose, ports.exposed);
  const restart = parseRestartPolicy(values.restart);
  if (values.rm && restart.Name !== "no" && restart.Name !== "") {
    throw invalid("conflicting options: cannot specify both --restart and --rm");
  }
  const config = containerConfig(flags, caller, { image, command, mac });
  config.ExposedPorts = Object.keys(ports.exposed).length > 0 ? ports.exposed : undefined!;
  if (config.ExposedPorts === undefined) delete config.ExposedPorts;
  config.Volumes = volumes.anonymous;
  const health = healthConfig(values);
  if (health) config.Healthcheck = health;
  const networks = attachNetworks(values.network, {
    aliases: values["network-alias"],
    links: values.link,
    linkLocalIps: values["link-local-ip"],
    ...(values.ip === "" ? {} : { ip: values.ip }),
    ...(values.ip6 === "" ? {} : { ip6: values.ip6 }),
    ...(mac === "" ? {} : { mac }),
  });
  const hostConfig: HostConfig = {
    ...resources(flags),
    ...namespaces(values, networks.mode),
    ...storage(values, volumes.binds, caller.cwd),
    ...security(values, caller),
    ContainerIDFile: values.cidfile,
    LogConfig: logConfig(values),
    PortBindings: ports.bindings,
    PublishAllPorts: values["publish-all"],
    RestartPolicy: restart,
    AutoRemove: values.rm,
    ConsoleSize: [0, 0],
    Dns: values.dns,
    DnsOptions: values["dns-option"],
    DnsSearch: values["dns-search"],
    ExtraHosts: orNull(values["add-host"]),
    Links: orNull(values.link),
    OomScoreAdj: values["oom-score-adj"],
    Isolation: values.isolation,
  };
  if (changed.has("annotation")) hostConfig.Annotations = pairsToRecord(values.annotation);
  if (values.runtime !== "") hostConfig.Runtime = values.runtime;
  if (values["on-unhealthy"] !== "") hostConfig.OnUnhealthy = values["on-unhealthy"];
  if (changed.has("sysctl")) hostConfig.Sysctls = pairsToRecord(values.sysctl);
  return { config, hostConfig, networkingConfig: { EndpointsConfig: networks.endpoints } };
}

const orNull = <T>(list: readonly T[]): T[] | null => (list.length === 0 ? null : [...list]);

function checkModes(values: Values): void {
  const container = (mode: string) => /^container:.+/.test(mode);
  if (
    values.pid !== "" &&
    values.pid !== "host" &&
    values.pid !== "private" &&
    !container(values.pid)
  ) {
    throw invalid("--pid: invalid PID mode");
  }
  if (values.uts !== "" && values.uts !== "host") throw invalid("--uts: invalid UTS mode");
  if (!/^(|host|private|auto(:.+)?|container:.+)$/.test(values.userns)) {
    throw invalid("--userns: invalid USER mode");
  }
  if (!["", "host", "private"].includes(values.cgroupns)) {
    throw invalid("--cgroupns: invalid CGROUP mode");
  }
}

function containerConfig(
  { values, changed }: CreateFlags,
  caller: CallerContext,
  { image, command, mac }: { image: string; command: string[]; mac: string },
): ContainerConfig {
  const attached = new Set(values.attach);
  const attachAll = attached.size === 0;
  const config: ContainerConfig = {
    Hostname: values.hostname,
    Domainname: values.domainname,
    User: values.user,
    AttachStdin: attached.has("stdin") || values.interactive,
    AttachStdout: attachAll || attached.has("stdout"),
    AttachStderr: attachAll || attached.has("stderr"),
    Tty: values.tty,
    OpenStdin: values.interactive,
    StdinOnce: false,
    Env: orNull(readEnvironment(values["env-file"].map(caller.path), values.env, caller.env)),
    Cmd: command.length === 0 ? null : command,
    Image: image,
    WorkingDir: values.workdir,
    Entrypoint: changed.has("entrypoint") ? [values.entrypoint] : null,
    OnBuild: null,
    Labels: readLabels(values["label-file"].map(caller.path), values.label),
  };
  // The daemon closes the container's stdin when this client goes away.
  if (config.OpenStdin && config.AttachStdin) config.StdinOnce = true;
  if (mac !== "") config.MacAddress = mac;
  if (values["stop-signal"] !== "") config.StopSignal = values["stop-signal"];
  if (changed.has("stop-timeout")) config.StopTimeout = values["stop-timeout"];
  return config;
}

function healthConfig(values: Values): HealthConfig | undefined {
  const test = healthTest(values);
  const given =
    test !== undefined ||
    values["health-interval"] !== 0 ||
    values["health-timeout"] !== 0 ||
    values["health-start-period"] !== 0 ||
    values["health-start-interval"] !== 0 ||
    values["health-retries"] !== 0;
  if (values["no-healthcheck"]) {
    if (given) throw invalid("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!given) return undefined;
  for (const name of [
    "interval",
    "timeout",
    "retries",
    "start-period",
    "start-interval",
  ] as const) {
    if (values[`health-${name}`] < 0) throw invalid(`--health-${name} cannot be negative`);
  }
  const health: HealthConfig = {};
  if (test) health.Test = test;
  if (values["health-interval"] !== 0) health.Interval = values["health-interval"];
  if (values["health-timeout"] !== 0) health.Timeout = values["health-timeout"];
  if (values["health-start-period"] !== 0) health.StartPeriod = values["health-start-period"];
  if (values["health-start-interval"] !== 0) health.StartInterval = values["health-start-interval"];
  if (values["health-retries"] !== 0) health.Retries = values["health-retries"];
  return health;
}

/** What is run or asked: one of a command, a URL and a port. */
function healthTest(values: Values): string[] | undefined {
  const tests = [
    ["CMD-SHELL", "health-cmd", [values["health-cmd"]]],
    ["HTTP", "health-http", values["health-http"].trim().split(/\s+/)],
    ["TCP", "health-tcp", [values["health-tcp"]]],
  ] as const;
  const given = tests.filter(([, flag]) => values[flag] !== "");
  if (given.length > 1) {
    throw invalid(`conflicting options: --${given[0]![1]} and --${given[1]![1]}`);
  }
  return given[0] && [given[0][0], ...given[0][2]];
}

function logConfig(values: Values): NonNullable<HostConfig["LogConfig"]> {
  const Config = pairsToRecord(values["log-opt"]);
  if (values["log-driver"] === "none" && Object.keys(Config).length > 0) {
    throw invalid(`invalid logging opts for driver none`);
  }
  return { Type: values["log-driver"], Config };
}

function namespaces(values: Values, networkMode: string): Partial<HostConfig> {
  return {
    NetworkMode: networkMode,
    CgroupnsMode: values.cgroupns,
    IpcMode: values.ipc,
    Cgroup: "",
    PidMode: values.pid,
    UTSMode: values.uts,
    UsernsMode: values.userns,
  };
}

function storage(values: Values, binds: string[], cwd: string): Partial<HostConfig> {
  const mounts = resolveMounts(values.mount, cwd);
  const tmpfs = parseTmpfs(values.tmpfs);
  const options = values["storage-opt"].map((text) => {
    if (!text.includes("=")) throw invalid(`invalid storage option`);
    return text;
  });
  return {
    Binds: orNull(binds),
    VolumeDriver: values["volume-driver"],
    VolumesFrom: orNull(values["volumes-from"]),
    ReadonlyRootfs: values["read-only"],
    ShmSize: values["shm-size"],
    ...(mounts.length > 0 ? { Mounts: mounts } : {}),
    ...(tmpfs ? { Tmpfs: tmpfs } : {}),
    ...(options.length > 0 ? { StorageOpt: pairsToRecord(options) } : {}),
  };
}

function security(values: Values, caller: CallerContext): Partial<HostConfig> {
  const capabilities = effectiveCapabilities(values["cap-add"], values["cap-drop"]);
  const { options, unmaskPaths } = parseSecurityOptions(
    values["security-opt"].map((option) =>
      option.replace(
        /^seccomp=(?!unconfined$|builtin$)(.*)$/,
        (_all, file: string) => `seccomp=${caller.path(file)}`,
      ),
    ),
  );
  return {
    CapAdd: orNull(capabilities.add),
    CapDrop: orNull(capabilities.drop),
    GroupAdd: orNull(values["group-add"]),
    Privileged: values.privileged,
    SecurityOpt: values["security-opt"].length === 0 ? null : options,
    MaskedPaths: unmaskPaths ? [] : null,
    ReadonlyPaths: unmaskPaths ? [] : null,
  };
}

function resources({ values, changed }: CreateFlags): Partial<HostConfig> {
  const cdi = values.device.filter(isCdiDevice);
  const requests = [
    ...(cdi.length > 0
      ? [{ Driver: "cdi", Count: 0, DeviceIDs: cdi, Capabilities: null, Options: null }]
      : []),
    ...values.gpus,
  ];
  return {
    CpuShares: values["cpu-shares"],
    Memory: values.memory,
    NanoCpus: values.cpus,
    CgroupParent: values["cgroup-parent"],
    BlkioWeight: values["blkio-weight"],
    BlkioWeightDevice: values["blkio-weight-device"],
    BlkioDeviceReadBps: values["device-read-bps"],
    BlkioDeviceWriteBps: values["device-write-bps"],
    BlkioDeviceReadIOps: values["device-read-iops"],
    BlkioDeviceWriteIOps: values["device-write-iops"],
    CpuPeriod: values["cpu-period"],
    CpuQuota: values["cpu-quota"],
    CpuRealtimePeriod: values["cpu-rt-period"],
    CpuRealtimeRuntime: values["cpu-rt-runtime"],
    CpusetCpus: values["cpuset-cpus"],
    CpusetMems: values["cpuset-mems"],
    Devices: values.device
      .filter((text) => !isCdiDevice(text))
      .map((text) => parseDevice(device(text))),
    DeviceCgroupRules: orNull(values["device-cgroup-rule"]),
    DeviceRequests: orNull(requests),
    MemoryReservation: values["memory-reservation"],
    MemorySwap: values["memory-swap"],
    MemorySwappiness: values["memory-swappiness"],
    OomKillDisable: values["oom-kill-disable"],
    PidsLimit: values["pids-limit"],
    Ulimits: sortedByName(values.ulimit),
    CpuCount: values["cpu-count"],
    CpuPercent: values["cpu-percent"],
    IOMaximumIOps: values["io-maxiops"],
    IOMaximumBandwidth: values["io-maxbandwidth"],
    ...(changed.has("init") ? { Init: values.init } : {}),
    ...(values["kernel-memory"] > 0 ? { KernelMemory: values["kernel-memory"] } : {}),
  };
}

/** The last value of each name wins. */
function sortedByName<T extends { Name: string }>(limits: readonly T[]): T[] {
  const byName = new Map(limits.map((limit) => [limit.Name, limit]));
  return [...byName.values()].sort((a, b) => (a.Name < b.Name ? -1 : 1));
}
