// `info`: docker's fields, read from what is known or cheap to read.

import { readdir, readFile } from "node:fs/promises";
import { arch, cpus, hostname, totalmem, type } from "node:os";
import { isPaused, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { SystemInfo } from "../contract.ts";

const MACHINES: Record<string, string> = { x64: "x86_64", arm64: "aarch64" };

export async function systemInfo(engine: EngineContext): Promise<SystemInfo> {
  return {
    ...counts(engine),
    ...(await host(engine)),
    ...abilities(engine),
    ...registries,
    Driver: "overlay2",
    DriverStatus: [
      ["Supports d_type", "true"],
      ["Using metacopy", "false"],
      ["Native Overlay Diff", "true"],
      ["userxattr", "false"],
    ],
    Plugins: {
      Volume: ["local"],
      Network: [...new Set(engine.network.describe().map(({ Driver }) => Driver))],
      Authorization: null,
      Log: ["json-file", "local", "none"],
    },
    Debug: engine.options.debug,
    NFd: (await readdir("/proc/self/fd")).length,
    NGoroutines: 0,
    SystemTime: new Date().toISOString(),
    LoggingDriver: engine.options.defaults.logDriver,
    NEventsListener: engine.bus.subscriberCount,
    GenericResources: null,
    DockerRootDir: engine.options.dataRoot,
    HttpProxy: process.env["HTTP_PROXY"] ?? "",
    HttpsProxy: process.env["HTTPS_PROXY"] ?? "",
    NoProxy: process.env["NO_PROXY"] ?? "",
    Labels: engine.options.labels,
    ExperimentalBuild: false,
    LiveRestoreEnabled: engine.options.liveRestore,
    ...program(engine),
    Warnings: engine.runtime.kernel.warnings.length > 0 ? engine.runtime.kernel.warnings : null,
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
    NCPU: cpus().length,
    MemTotal: totalmem(),
    IPv4Forwarding: (await readText("/proc/sys/net/ipv4/ip_forward")) !== "0",
  };
}

/** What this kernel's cgroups and security modules offer. */
function abilities(engine: EngineContext): SystemInfo {
  const { kernel } = engine.runtime;
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
    OomKillDisable: v1 && has("memory"),
    CgroupDriver: "cgroupfs",
    CgroupVersion: v1 ? "1" : "2",
    Isolation: "",
    SecurityOptions: [
      ...(kernel.apparmor ? ["name=apparmor"] : []),
      "name=seccomp,profile=builtin",
      ...(kernel.selinux ? ["name=selinux"] : []),
      ...(v1 ? [] : ["name=cgroupns"]),
    ],
    CDISpecDirs: [],
  };
}

/** What runs the containers: all of it is this program. */
function program(engine: EngineContext): SystemInfo {
  const { buildId, version } = engine.options;
  return {
    ID: buildId,
    ServerVersion: version,
    Runtimes: { runc: { path: "gantry-native" } },
    DefaultRuntime: "runc",
    InitBinary: "gantry-native",
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

const registries: SystemInfo = {
  IndexServerAddress: "https://index.docker.io/v1/",
  RegistryConfig: {
    AllowNondistributableArtifactsCIDRs: null,
    AllowNondistributableArtifactsHostnames: null,
    InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8"],
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: [], Secure: true, Official: true },
    },
    Mirrors: null,
  },
};

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
