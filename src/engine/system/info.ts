// `info`: docker's fields, read from what is known or cheap to read.

import { readdir, readFile, statfs } from "node:fs/promises";
import { arch, availableParallelism, hostname, totalmem, type } from "node:os";
import { maskProxy } from "../../distribution/index.ts";
import { isPaused, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { SystemInfo } from "../contract.ts";
import { discoveredDevices } from "../devices/index.ts";
import { remoteDriverNames } from "../log-drivers/index.ts";
import { runtimesOf } from "./runtimes.ts";

/** statfs(2)'s numbers in dockerd's words. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "extfs",
  1481003842: "xfs",
  2435016766: "btrfs",
  801189825: "zfs",
  4076150800: "f2fs",
  16914836: "tmpfs",
  2035054128: "overlayfs",
  26985: "nfs",
};
const NETWORK_DRIVERS = ["bridge", "host", "ipvlan", "macvlan", "null"];
const MACHINES: Record<string, string> = { x64: "x86_64", arm64: "aarch64" };

export async function systemInfo(engine: EngineContext): Promise<SystemInfo> {
  const found = await discoveredDevices(engine);
  const { kernel } = engine.runtime;
  const { authorizationPlugins = [], doorWarnings = [] } = engine.options;
  const warnings = [...doorWarnings, ...kernel.warnings, ...found.warnings];
  return {
    ...counts(engine),
    ...(await host(engine)),
    ...abilities(engine),
    ...registries(engine),
    Driver: "overlay2",
    DriverStatus: [
      ["Backing Filesystem", await fileSystem(engine.options.dataRoot)],
      ["Supports d_type", "true"],
      ["Using metacopy", "false"],
      ["Native Overlay Diff", "true"],
      ["userxattr", "false"],
    ],
    Plugins: {
      Volume: [...(await engine.plugins.implementing("VolumeDriver")), "local"].sort(),
      Network: NETWORK_DRIVERS,
      Authorization: authorizationPlugins.length > 0 ? authorizationPlugins : null,
      Log: [...remoteDriverNames, "json-file", "local"].sort(),
    },
    Debug: engine.options.debug,
    NFd: (await readdir("/proc/self/fd")).length,
    // The nearest that there is: what keeps the event loop alive.
    NGoroutines: process.getActiveResourcesInfo().length,
    SystemTime: new Date().toISOString(),
    LoggingDriver: engine.options.defaults.logDriver,
    NEventsListener: engine.bus.subscriberCount,
    GenericResources: null,
    DockerRootDir: engine.options.dataRoot,
    Labels: engine.options.labels,
    ExperimentalBuild: engine.options.experimental === true,
    LiveRestoreEnabled: engine.options.liveRestore,
    ...program(engine),
    ...(await runtimesOf(engine)),
    ...network(engine),
    ...(found.devices.length > 0 && { DiscoveredDevices: found.devices }),
    Warnings: warnings.length > 0 ? warnings : null,
  };
}

function counts(engine: EngineContext): SystemInfo {
  const containers = engine.containers.all();
  const paused = containers.filter(isPaused).length;
  const running = containers.filter(isRunning).length - paused;
  return {
    Containers: containers.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: containers.length - running - paused,
    Images: engine.storage.images.list().length,
  };
}

async function host(engine: EngineContext): Promise<SystemInfo> {
  return {
    Name: hostname(),
    KernelVersion: engine.runtime.kernel.release,
    OperatingSystem: await operatingSystem("PRETTY_NAME"),
    OSVersion: await operatingSystem("VERSION_ID"),
    OSType: type().toLowerCase(),
    Architecture: MACHINES[arch()] ?? arch(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    IPv4Forwarding: (await readText("/proc/sys/net/ipv4/ip_forward")) !== "0",
  };
}

/** What this kernel's cgroups and security modules offer. */
function abilities(engine: EngineContext): SystemInfo {
  const { kernel, cgroups } = engine.runtime;
  const { security } = engine.options.defaults;
  const v1 = kernel.cgroup.version !== 2;
  const controllers = v1 ? [...kernel.cgroup.v1.keys()] : (kernel.cgroup.v2?.controllers ?? []);
  const has = (controller: string): boolean => controllers.includes(controller);
  return {
    MemoryLimit: has("memory"),
    SwapLimit: has("memory"),
    CpuCfsPeriod: has("cpu"),
    CpuCfsQuota: has("cpu"),
    CPUShares: has("cpu"),
    CPUSet: has("cpuset"),
    PidsLimit: has("pids"),
    ...(kernel.cgroupFiles?.has("memory.kmem.tcp.limit_in_bytes") && { KernelMemoryTCP: true }),
    OomKillDisable: v1 && has("memory"),
    CgroupDriver: cgroups.driver,
    CgroupVersion: v1 ? "1" : "2",
    Isolation: "",
    SecurityOptions: [
      ...(engine.apparmor.profile ? ["name=apparmor"] : []),
      ...(kernel.seccompActions.length > 0
        ? [`name=seccomp,profile=${security?.seccompName ?? "builtin"}`]
        : []),
      ...(engine.selinux.isEnabled ? ["name=selinux"] : []),
      ...(engine.userns.isDefault ? ["name=userns"] : []),
      ...(v1 ? [] : ["name=cgroupns"]),
      ...(security?.noNewPrivileges ? ["name=no-new-privileges"] : []),
    ],
    CDISpecDirs: engine.options.cdiSpecDirs ?? [],
  };
}

/** What runs the containers: all of it is this program. */
function program(engine: EngineContext): SystemInfo {
  const { buildId, version, defaults } = engine.options;
  return {
    ID: engine.id,
    ServerVersion: version,
    InitBinary: defaults.initPath ?? "gantry-init",
    ContainerdCommit: { ID: "" },
    RuncCommit: { ID: buildId },
    InitCommit: { ID: buildId },
    Swarm: {
      NodeID: "",
      NodeAddr: "",
      LocalNodeState: "inactive",
      ControlAvailable: false,
      Error: "",
      RemoteManagers: null,
    },
  };
}

/** Pools are named where they were chosen, as dockerd does. */
function network({ options }: EngineContext): SystemInfo {
  const { addressPools = [], firewall = false } = options.networkFacts ?? {};
  return {
    ...(addressPools.length > 0 ? { DefaultAddressPools: addressPools } : {}),
    ...(firewall ? { FirewallBackend: { Driver: "nftables" } } : {}),
  };
}

/** What is insecure, which mirrors Docker Hub has, and which proxies lead out. Rules for other
 * registries are ours: clients of docker find them beside the rest. */
function registries(engine: EngineContext): SystemInfo {
  const { mirrors, insecureCidrs, insecureNames, rules, proxies } = engine.registries.describe();
  const insecure = [
    ...insecureNames,
    ...rules.filter((rule) => rule.insecure).map(({ prefix }) => prefix),
  ];
  const index = (Name: string, Secure: boolean): object => ({
    Name,
    Mirrors: Name === "docker.io" ? mirrors : [],
    Secure,
    Official: Name === "docker.io",
  });
  const configs = [...insecure.map((name) => index(name, false)), index("docker.io", true)];
  return {
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: {
      InsecureRegistryCIDRs: [...insecureCidrs, "::1/128", "127.0.0.0/8"],
      IndexConfigs: Object.fromEntries(configs.map((one) => [(one as { Name: string }).Name, one])),
      Mirrors: mirrors.length > 0 ? mirrors : null,
      ...(rules.length > 0 && { Rules: rules.map(renderRule) }),
    },
    HttpProxy: maskProxy(proxies.httpProxy),
    HttpsProxy: maskProxy(proxies.httpsProxy),
    NoProxy: proxies.noProxy,
  };
}

type Rule = ReturnType<EngineContext["registries"]["describe"]>["rules"][number];

function renderRule({ prefix, mirrors, location, insecure, blocked }: Rule): object {
  return {
    Prefix: prefix,
    Mirrors: mirrors.map(({ url }) => url),
    ...(location === undefined ? {} : { Location: location }),
    Insecure: insecure,
    Blocked: blocked,
  };
}

async function fileSystem(path: string): Promise<string> {
  const found = await statfs(path).catch(() => undefined);
  return FILE_SYSTEMS[found?.type ?? 0] ?? "<unknown>";
}

async function operatingSystem(key: string): Promise<string> {
  const text = await readText("/etc/os-release");
  const match = new RegExp(`^${key}="?([^"\n]*)"?$`, "m").exec(text);
  return match?.[1] ?? "";
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").then(
    (text) => text.trim(),
    () => "",
  );
}
